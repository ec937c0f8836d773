"""Sends the demo shop's events at a steady rate until told to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from throughline.demo.sdk import Sender
from throughline.demo.shop import Event

CATCH_UP = 1.0
"""Seconds of events made good at once after a stall; what was missed before that is not."""


@dataclass(frozen=True)
class Traffic:
    """How much to send: `rate` events a second after `burst` at once; no end unless `count` events or `seconds`."""

    rate: float = 20.0
    burst: int = 0
    count: int | None = None
    seconds: float | None = None


def send(
    events: Iterator[Event],
    sender: Sender,
    traffic: Traffic,
    *,
    stop: threading.Event,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Send until the traffic's end, until `stop` is set, or until `sender.failed`.

    While ingest is away no events are made: the shop waits with it, and goes on at the same rate afterwards.
    `progress` is called a few times a second.
    """
    started = due = time.monotonic()
    while not stop.is_set() and not sender.failed:
        if traffic.count is not None and sender.tally.sent >= traffic.count:
            return
        now = time.monotonic()
        if traffic.seconds is not None and now - started >= traffic.seconds:
            return
        progress()
        if sender.away:
            stop.wait(0.1)
            continue
        if sender.tally.sent < traffic.burst:
            due = now
        elif due > now:
            stop.wait(min(due - now, 0.1))
            continue
        due = max(due, now - CATCH_UP) + 1 / traffic.rate
        event = next(events)
        sender.send(event.call, event.arguments, stop=stop)
