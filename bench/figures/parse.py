"""Parsing and validation: events a second of one core, from a request's bytes to touchpoints encoded for Kafka.

Every dialect is measured beside Segment's with as many events in a request. Without HTTP and Kafka: what `app.py` does
between a body read and a batch queued, in this process, by its CPU time, so that other processes disturb it little.
"""

import cProfile
import gc
from itertools import cycle
from pathlib import Path
from statistics import median
from time import process_time

from bench.comparison import rate_row
from bench.report import Goal, Row, read_json
from bench.requests import Case, cases
from bench.servers import OURS, QUICK, Checkout, Sizes, print_progress, run_command
from services.ingest.dialects.base import Request, Route
from services.ingest.dialects.registry import RULES, match_route
from services.ingest.validate.request import validate
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import encode

REQUESTS = 40
"""Number of different requests of each kind, sent in turns."""
GOAL = Goal("ratio", least=0.5)
SOURCE = SourceKey(b"", 1, 1, "bench", enabled=True)


async def measure(sizes: Sizes) -> list[Row]:
    """Events per CPU second of each dialect; in each turn every dialect has its share of time."""
    measured = cases(REQUESTS)
    rates: list[list[float]] = [[] for _ in measured]
    # As `services/ingest/main.py` does.
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        for case in measured:
            _check(case)
        for _ in range(sizes.parse_turns):
            for index, case in enumerate(measured):
                rates[index].append(_rate(case, sizes.parse_seconds))
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    segment_rates = {case.events: rates[index] for index, case in enumerate(measured) if case.name == "Segment"}
    rows = []
    for case, rounds in zip(measured, rates, strict=True):
        is_segment = case.name == "Segment"
        several = f"{case.events} events" if case.events > 1 else "one event"
        row = Row(
            name=f"parse: {case.name}, {several} a request",
            unit="events/s",
            rounds=rounds,
            baseline="" if is_segment else f"Segment, {several}",
            baseline_rounds=[] if is_segment else segment_rates[case.events],
            goal=None if is_segment else GOAL,
            note=f"{case.event_bytes:,.0f} bytes an event"
            + ("" if is_segment else _by_size(case, rounds, measured, segment_rates)),
        )
        print_progress(" ".join(row.cells()))
        rows.append(row)
    return rows


def _by_size(case: Case, rounds: list[float], all_cases: list[Case], segment_rates: dict[int, list[float]]) -> str:
    """The rate in bytes, which is fairer to long events than the rate in events."""
    theirs = next(other for other in all_cases if other.name == "Segment" and other.events == case.events)
    ours_mb = median(rounds) * case.event_bytes / 1e6
    theirs_mb = median(segment_rates[case.events]) * theirs.event_bytes / 1e6
    return f", {ours_mb:.0f} MB/s: {ours_mb / theirs_mb:.2f} of Segment's {theirs_mb:.0f} MB/s"


async def compare(sizes: Sizes, other: Checkout) -> list[Row]:
    """The same figures of our bench and of the other checkout's own, each in a process of its own, in turns."""
    rates: dict[Checkout, dict[str, list[float]]] = {OURS: {}, other: {}}
    for number in range(sizes.rounds):
        for checkout in (OURS, other) if number % 2 == 0 else (other, OURS):
            bench = "bench" if (checkout.folder / "bench").is_dir() else "tests.bench"
            options = ["--quick"] if sizes == QUICK else []
            await run_command(checkout.python, "-m", bench, "--only", "parse", *options, cwd=checkout.folder)
            rows, _ = read_json(checkout.folder / "bench.json")
            for row in rows:
                rates[checkout].setdefault(row.name, []).append(row.ours)
            print_progress(f"parse: {checkout.label} {rows[0].ours:,.0f} events/s of {rows[0].name}")
    return [
        rate_row(name, "events/s", rounds, rates[other][name], other)
        for name, rounds in rates[OURS].items()
        if name in rates[other]
    ]


async def profile(sizes: Sizes, file: Path) -> None:
    """All dialects but Segment's, profiled together."""
    others = [case for case in cases(REQUESTS) if case.name != "Segment"]
    profiler = cProfile.Profile()
    with profiler:
        for case in others:
            _rate(case, sizes.parse_seconds * sizes.parse_turns)
    profiler.dump_stats(file)


def _check(case: Case) -> None:
    for request in case.requests:
        handled = _handle(_route(request), request, case.received_us)
        if len(handled) != case.events:
            raise RuntimeError(f"{case.name}: {len(handled)} of {case.events} events were accepted")


def _route(request: Request) -> Route:
    route = match_route(request.method, request.path)
    assert route is not None
    return route


def _rate(case: Case, seconds: float) -> float:
    taken = [(_route(request), request) for request in case.requests]
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


def _handle(route: Route, request: Request, received_us: int) -> list[tuple[bytes, bytes]]:
    """What ingest puts on Kafka for one request (`app.py`, without keys, limits and counters)."""
    result = validate(route.parse(request), SOURCE, RULES, received_us=received_us, new_id=lambda: "random")
    return [(touchpoint.actor.encode(), encode(touchpoint)) for touchpoint in result.touchpoints]
