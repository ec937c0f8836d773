"""Journeys: what folding costs alone, late and joining events beside ordered ones, restaging, a sweep, one late event.

`fold` is the core in this process on one thread. The stager and the restage are a process of their own, as in
`staging`. The sweep and the late events run the stager's own transactions in this process, without Kafka.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import asyncpg

from bench.bed import PARTITIONS, Bed, Scale, Site, say
from bench.events import mixed
from bench.figures import staging
from bench.report import Goal, Row
from services.stager.maintain.lapses import sweep
from services.stager.stage.decode import prepare, record_digest
from services.stager.stage.models import Workspaces
from services.stager.stage.transaction import commit
from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.models import load_model
from throughline.store import generations
from throughline.store.digest import id_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.offsets import Offset
from throughline.wire.codec import encode

DAY_US = 86_400_000_000
STEP_US = 60_000_000
BATCH = 5_000
LATE = 9
"""Late events of each history, spread over it."""
ORDER_EVERY = 10_000


class _Record:
    """A record as the log would give it."""

    key = None
    timestamp = 1_700_000_000_000

    def __init__(self, offset: int, one: Touchpoint) -> None:
        self.offset = offset
        self.value = encode(one)


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """All five."""
    log = staging.in_order(scale.staged_events)
    folded = [_fold(log) for _ in range(scale.rounds)]
    say(f"journeys: fold {median(folded):,.0f} events/s")
    ordered, late, restaged = await _staged(bed, scale, log)
    swept = await _sweep(bed, scale)
    return [
        Row(name="fold, one thread", unit="events/s", rounds=folded, note=f"{len(log):,} events, seven_phase"),
        Row(
            name="stager, 5 % late and 2 % identify",
            unit="events/s",
            rounds=late,
            baseline="the same log in order",
            baseline_rounds=ordered,
            goal=Goal("ratio", least=0.5),
        ),
        Row(
            name="restage to six_stage",
            unit="events/s",
            rounds=restaged,
            baseline="fold, one thread",
            baseline_rounds=folded,
            goal=Goal("ratio", least=0.5),
            note="one stager process with four lanes and nothing else to do",
        ),
        Row(name="lapse sweep", unit="customers/s", rounds=swept, note=f"{scale.customers:,} customers lapse at once"),
        *await _late_ones(bed, scale),
    ]


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """The stager under the profiler on the log with late and joining events."""
    log = mixed(scale.staged_events, start_us=now_us() - staging.SPAN_US)
    async with bed.topic() as topic:
        customers = await staging.fill(bed, topic, log)
        await staging.stage(bed, topic, len(log), customers, profile=file)


def _fold(log: list[Touchpoint]) -> float:
    model = load_model("seven_phase")
    by_actor: dict[str, list[Touchpoint]] = {}
    for one in log:
        by_actor.setdefault(one.actor, []).append(one)
    began = time.perf_counter()
    for touchpoints in by_actor.values():
        fold(model, None, touchpoints, log[-1].occurred_us)
    return len(log) / (time.perf_counter() - began)


async def _staged(bed: Bed, scale: Scale, log: list[Touchpoint]) -> tuple[list[float], list[float], list[float]]:
    """Events a second: staged in order, staged late and joining, restaged."""
    ordered: list[float] = []
    late: list[float] = []
    restaged: list[float] = []
    disordered = mixed(scale.staged_events, start_us=now_us() - staging.SPAN_US)
    async with bed.topic() as one, bed.topic() as other:
        customers = await staging.fill(bed, one, log), await staging.fill(bed, other, disordered)
        for _ in range(scale.rounds):
            ordered.append((await staging.stage(bed, one, len(log), customers[0]))[0])
            await bed.settle()
            late.append((await staging.stage(bed, other, len(disordered), customers[1]))[0])
            await bed.settle()
            restaged.append((await staging.stage(bed, one, len(log), customers[0], then=_restage))[0])
            await bed.settle()
            say(f"journeys: {ordered[-1]:,.0f} in order, {late[-1]:,.0f} mixed, {restaged[-1]:,.0f} restaged, events/s")
    return ordered, late, restaged


async def _restage(site: Site) -> float:
    """Seconds until another model is whole, while the stager runs."""
    engine = create_engine(site.database)
    try:
        began = time.perf_counter()
        async with transaction(engine) as connection:
            made = await generations.begin_restage(
                connection, site.workspace, "six_stage", document=None, now_us=now_us()
            )
        while True:
            async with reading(engine) as connection:
                if (await generations.read_progress(connection, made)).is_whole:
                    return time.perf_counter() - began
            await asyncio.sleep(staging.POLL_SECONDS)
    finally:
        await engine.dispose()


async def _sweep(bed: Bed, scale: Scale) -> list[float]:
    """Customers a second of one sweep by four lanes. One run: it takes the customers along."""
    async with bed.topic() as topic, bed.site(topic) as site:
        await _fill_journeys(site, scale.customers)
        await bed.settle()
        engine = create_engine(site.database)
        try:
            known = await Workspaces(engine).of({site.workspace_id})

            async def lane(partition: int) -> int:
                swept, more = 0, True
                while more:
                    lapsed, more = await sweep(
                        engine, known, partition=partition, partitions=PARTITIONS, watermark_us=now_us()
                    )
                    swept += lapsed
                return swept

            began = time.perf_counter()
            swept = sum(await asyncio.gather(*(lane(partition) for partition in range(PARTITIONS))))
            seconds = time.perf_counter() - began
        finally:
            await engine.dispose()
    if swept != scale.customers:
        raise RuntimeError(f"{swept:,} of {scale.customers:,} customers lapsed")
    say(f"journeys: {swept:,} lapses in {seconds:.1f} s")
    return [swept / seconds]


async def _fill_journeys(site: Site, customers: int) -> None:
    """Customers who viewed a product a year ago and were never heard of again, as staging would have left them."""
    at_us = now_us() - 365 * DAY_US
    one = Touchpoint(at_us, "m", "c", "track", "Product Viewed", site.workspace_id, 1, "direct", at_us)
    journey = fold(load_model("seven_phase"), None, [one]).journey
    assert journey is not None
    names = [f"customer-{number:07d}" for number in range(customers)]
    digests = [id_digest(site.workspace_id, name) for name in names]
    connection = await asyncpg.connect(site.database)
    try:
        await connection.copy_records_to_table(
            "ids",
            columns=["workspace", "id", "name", "is_user", "joined", "linked"],
            records=[
                (site.workspace_id, digest, name, True, False, False)
                for digest, name in zip(digests, names, strict=True)
            ],
        )
        await connection.copy_records_to_table(
            "journeys",
            columns=["customer", "model", "id", "since", "look_us", *journey._fields],
            records=[
                (digest, site.model, name, 1, at_us + number, *journey)
                for number, (digest, name) in enumerate(zip(digests, names, strict=True))
            ],
        )
        await connection.execute("ANALYZE ids, journeys")
    finally:
        await connection.close()


async def _late_ones(bed: Bed, scale: Scale) -> list[Row]:
    """What one late event costs after histories of different length: a product viewed, and an order at the start."""
    views: dict[int, list[float]] = {}
    orders: dict[int, float] = {}
    async with bed.topic() as topic, bed.site(topic) as site:
        customer = _Customer(site, topic)
        try:
            for length in scale.histories:
                views[length], orders[length] = await customer.late(length)
                say(f"journeys: a late event after {length:,} touchpoints: {median(views[length]):.1f} ms")
        finally:
            await customer.close()
    shortest = scale.histories[0]
    note = "; ".join(f"{length:,}: {ms:,.0f} ms" for length, ms in orders.items())
    rows = [
        Row(
            name=f"one late event, {length:,} touchpoints",
            unit="ms",
            rounds=views[length],
            baseline=f"{shortest:,} touchpoints" if length != shortest else "",
            baseline_rounds=views[shortest] if length != shortest else [],
        )
        for length in scale.histories
    ]
    rows[-1].note = f"a late first order, which is folded on to the end, once each, by touchpoints: {note}"
    return rows


class _Customer:
    """Customers of one workspace, staged by hand."""

    def __init__(self, site: Site, topic: str) -> None:
        self._site = site
        self._topic = topic
        self._engine = create_engine(site.database)
        self._offset = 0

    async def close(self) -> None:
        """Close its connections."""
        await self._engine.dispose()

    async def late(self, length: int) -> tuple[list[float], float]:
        """Milliseconds of late views, and of a late order, after a history of this length."""
        actor = f"customer-{length}"
        start_us = now_us() - (length + 10) * STEP_US
        first = Touchpoint(start_us, "", actor, "track", "Product Viewed", self._site.workspace_id, 1, "direct", 1)
        for begin in range(0, length, BATCH):
            await self._stage([_step(first, n) for n in range(begin, min(length, begin + BATCH))])
        views = [
            await self._stage([first._replace(message_id=f"l{n}", occurred_us=start_us + at_us + STEP_US // 2)])
            for n, at_us in enumerate(length * STEP_US * share // (LATE + 1) for share in range(1, LATE + 1))
        ]
        order = first._replace(
            message_id="first", name="Order Completed", order_id="first", occurred_us=start_us - STEP_US
        )
        return views, await self._stage([order])

    async def _stage(self, touchpoints: list[Touchpoint]) -> float:
        known = await Workspaces(self._engine).of({self._site.workspace_id})
        records = list(_records(self._offset, touchpoints))
        began = time.perf_counter()
        batch = prepare(records, known, topic=self._topic, partition=0)
        to = Offset(records[-1].offset + 1, record_digest(records[-1]), 0)
        staged = await commit(self._engine, batch, known, topic=self._topic, partition=0, expected=self._offset, to=to)
        seconds = time.perf_counter() - began
        if staged.staged != len(touchpoints):
            raise RuntimeError(f"{staged} of {len(touchpoints)}")
        self._offset += len(touchpoints)
        return seconds * 1e3


def _step(first: Touchpoint, number: int) -> Touchpoint:
    at_us = first.occurred_us + number * STEP_US
    if number % ORDER_EVERY == ORDER_EVERY // 2:
        return first._replace(message_id=f"m{number}", occurred_us=at_us, name="Order Completed", order_id=f"o{number}")
    return first._replace(message_id=f"m{number}", occurred_us=at_us)


def _records(offset: int, touchpoints: list[Touchpoint]) -> Iterator[_Record]:
    return (_Record(offset + number, one) for number, one in enumerate(touchpoints))
