"""Sends the demo shop's events at a steady rate until told to stop."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from throughline.demo.sdk import Sender
from throughline.demo.shop import SdkCall

CATCH_UP_SECONDS = 1.0
"""After a stall, at most so many seconds of events are sent at once; what was missed before that is not sent."""


@dataclass(frozen=True)
class Traffic:
    """How much to send: `burst` events at once, then `rate` events a second, until `count` events or `seconds`."""

    rate: float = 20.0
    burst: int = 0
    count: int | None = None
    seconds: float | None = None


def send(
    calls: Iterator[SdkCall],
    sender: Sender,
    traffic: Traffic,
    *,
    stop: threading.Event,
    progress: Callable[[], None] = lambda: None,
) -> None:
    """Send until the traffic's end, until `stop` is set, or until `sender.failed`.

    While ingest is away the shop makes no events, and goes on at the same rate afterwards. `progress` is called a few
    times a second.
    """
    started = due = time.monotonic()
    while not stop.is_set() and not sender.failed:
        if traffic.count is not None and sender.counts.sent >= traffic.count:
            return
        now = time.monotonic()
        if traffic.seconds is not None and now - started >= traffic.seconds:
            return
        progress()
        if sender.away:
            stop.wait(0.1)
            continue
        if sender.counts.sent < traffic.burst:
            due = now
        elif due > now:
            stop.wait(min(due - now, 0.1))
            continue
        due = max(due, now - CATCH_UP_SECONDS) + 1 / traffic.rate
        call = next(calls)
        sender.send(call.method, call.arguments, stop=stop)
