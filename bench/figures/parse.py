"""Ingest's reading: events a second of one core, whole way from a request's bytes to touchpoints encoded for Kafka.

Every dialect stands beside Segment's with as many events in a request. No HTTP and no Kafka: what `app.py` does between
a body read and a batch queued, in this process, counted in its CPU seconds, so that others on the machine count little.
"""

import cProfile
import gc
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from statistics import median
from time import process_time
from typing import Any

from bench.bed import Scale, say
from bench.dialects import Case, cases
from bench.report import Goal, Row
from services.ingest.dialects import base, segment
from services.ingest.dialects.base import Opened, Request
from services.ingest.dialects.envelope import open_body
from services.ingest.dialects.registry import BATCH, Takes, takes
from throughline.wire.codec import encode

REQUESTS = 40
"""Different ones of each kind, sent in turns."""
GOAL = Goal("ratio", least=0.5)


async def measure(scale: Scale) -> list[Row]:
    """Events per CPU second of each dialect; in each turn every dialect has its share of time."""
    found = cases(REQUESTS)
    rates: list[list[float]] = [[] for _ in found]
    # As `services/ingest/main.py` does.
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        for case in found:
            _check(case)
        for _ in range(scale.parse_turns):
            for index, case in enumerate(found):
                rates[index].append(_rate(case, scale.parse_seconds))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    segment_rates = {case.events: rates[index] for index, case in enumerate(found) if case.name == "Segment"}
    rows = []
    for case, rounds in zip(found, rates, strict=True):
        own = case.name == "Segment"
        several = f"{case.events} events" if case.events > 1 else "one event"
        row = Row(
            name=f"parse: {case.name}, {several} a request",
            unit="events/s",
            rounds=rounds,
            baseline="" if own else f"Segment, {several}",
            baseline_rounds=[] if own else segment_rates[case.events],
            goal=None if own else GOAL,
            note=f"{case.event_bytes:,.0f} bytes an event{'' if own else _by_size(case, rounds, found, segment_rates)}",
        )
        say(" ".join(row.cells()))
        rows.append(row)
    return rows


def _by_size(case: Case, rounds: list[float], all_cases: list[Case], segment_rates: dict[int, list[float]]) -> str:
    """What the ratio does not say of long events: the same, of bytes and not of events."""
    theirs = next(one for one in all_cases if one.name == "Segment" and one.events == case.events)
    ours_mb = median(rounds) * case.event_bytes / 1e6
    theirs_mb = median(segment_rates[case.events]) * theirs.event_bytes / 1e6
    return f", {ours_mb:.0f} MB/s: {ours_mb / theirs_mb:.2f} of Segment's {theirs_mb:.0f} MB/s"


async def profile(scale: Scale, file: Path) -> None:
    """All dialects but Segment's, profiled together."""
    found = [case for case in cases(REQUESTS) if case.name != "Segment"]
    profiler = cProfile.Profile()
    with profiler:
        for case in found:
            _rate(case, scale.parse_seconds * scale.parse_turns)
    profiler.dump_stats(file)


def _check(case: Case) -> None:
    for request in case.requests:
        handled = _handle(_takes(request), request, case.received_us)
        if len(handled) != case.events:
            raise RuntimeError(f"{case.name}: {len(handled)} of {case.events} events were kept")


def _takes(request: Request) -> Takes:
    found = takes(request.method, request.path)
    assert found is not None
    return found


def _rate(case: Case, seconds: float) -> float:
    taken = [(_takes(request), request) for request in case.requests]
    turns = cycle(taken)
    events = 0
    received_us = case.received_us
    began = process_time()
    until = began + seconds
    while (now := process_time()) < until:
        for _ in range(4):
            _handle(*next(turns), received_us)
        events += 4 * case.events
    return events / (now - began)


def _handle(taken: Takes, request: Request, received_us: int) -> list[tuple[bytes, bytes]]:
    """What ingest puts on Kafka for one request (`app.py`, without keys, limits and counters)."""
    opened = open_body(request.body, "" if taken == BATCH else taken) if isinstance(taken, str) else taken(request)
    judge: Callable[..., Any] = base.judge if isinstance(opened, Opened) else segment.judge
    found = judge(opened, workspace=1, source=1, received_us=received_us, new_id=lambda: "random")
    return [(touchpoint.actor.encode(), encode(touchpoint)) for touchpoint in found.touchpoints]
