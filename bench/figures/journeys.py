"""Journeys: folding alone, late and linking events beside ordered ones, a restage, a lapse sweep, one late event.

`fold` runs in this process on one thread. The stager and the restage run in a service process, as in `staging`. The
sweep and the late events run the stager's transactions in this process, without Kafka.
"""

import asyncio
import gc
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import asyncpg

from bench.events import disordered_log
from bench.figures import staging
from bench.report import Goal, Row
from bench.servers import PARTITIONS, Deployment, Servers, Sizes, print_progress
from services.stager.main import COLLECTOR_THRESHOLDS
from services.stager.maintain.lapses import sweep
from services.stager.maintain.walk import Share
from services.stager.stage.decode import prepare, record_digest
from services.stager.stage.models import ModelRegistry
from services.stager.stage.transaction import commit
from tests.support.stack import until
from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.models import load_model
from throughline.store import generations
from throughline.store.digest import id_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.offsets import Offset, OffsetMove
from throughline.wire.codec import encode

DAY_US = 86_400_000_000
STEP_US = 60_000_000
BATCH = 5_000
LATE = 9
"""Number of late events of each history, spread over it."""
ORDER_EVERY = 10_000


class _Record:
    """A record as a Kafka consumer returns it."""

    key = None
    timestamp = 1_700_000_000_000

    def __init__(self, offset: int, touchpoint: Touchpoint) -> None:
        self.offset = offset
        self.value = encode(touchpoint)


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """All figures."""
    log = staging.ordered_log(sizes.staged_events)
    folded = [_fold(log) for _ in range(sizes.rounds)]
    print_progress(f"journeys: fold {median(folded):,.0f} events/s")
    ordered, late, restaged, by_two = await _staged(servers, sizes, log)
    swept = await _sweep(servers, sizes)
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
            goal=Goal("value", least=60_000),
            note="one stager process with four partitions and nothing else to do",
        ),
        Row(
            name="restage to six_stage, two stagers",
            unit="events/s",
            rounds=by_two,
            baseline="one stager",
            baseline_rounds=restaged,
            goal=Goal("ratio", least=1.8),
        ),
        Row(
            name="lapse sweep",
            unit="customers/s",
            rounds=swept,
            goal=Goal("value", least=30_000),
            note=f"{sizes.customers:,} customers lapse at once",
        ),
        *await _late_ones(servers, sizes),
    ]


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The stager under the profiler on the log with late and joining events."""
    log = disordered_log(sizes.staged_events, start_us=now_us() - staging.SPAN_US)
    async with servers.topic() as topic:
        customers = await staging.fill(servers, topic, log)
        await staging.stage(servers, topic, len(log), customers, profile=file)


def _fold(log: list[Touchpoint]) -> float:
    model = load_model("seven_phase")
    by_actor: dict[str, list[Touchpoint]] = {}
    for touchpoint in log:
        by_actor.setdefault(touchpoint.actor, []).append(touchpoint)
    began = time.perf_counter()
    for touchpoints in by_actor.values():
        fold(model, None, touchpoints, log[-1].occurred_us)
    return len(log) / (time.perf_counter() - began)


async def _staged(
    servers: Servers, sizes: Sizes, log: list[Touchpoint]
) -> tuple[list[float], list[float], list[float], list[float]]:
    """Events a second: staged in order, staged with late and linking events, restaged by one stager, and by two."""
    ordered: list[float] = []
    late: list[float] = []
    restaged: list[float] = []
    by_two: list[float] = []
    disordered = disordered_log(sizes.staged_events, start_us=now_us() - staging.SPAN_US)
    async with servers.topic() as ordered_topic, servers.topic() as late_topic:
        customers = await staging.fill(servers, ordered_topic, log)
        late_customers = await staging.fill(servers, late_topic, disordered)
        for _ in range(sizes.rounds):
            ordered.append((await staging.stage(servers, ordered_topic, len(log), customers))[0])
            await servers.checkpoint()
            late.append((await staging.stage(servers, late_topic, len(disordered), late_customers))[0])
            await servers.checkpoint()
            restaged.append((await staging.stage(servers, ordered_topic, len(log), customers, then=_restage))[0])
            await servers.checkpoint()
            by_two.append((await staging.stage(servers, ordered_topic, len(log), customers, then=_restage_by_two))[0])
            await servers.checkpoint()
            print_progress(
                f"journeys: events/s: {ordered[-1]:,.0f} in order, {late[-1]:,.0f} late, {restaged[-1]:,.0f} restaged, "
                f"{by_two[-1]:,.0f} by two stagers"
            )
    return ordered, late, restaged, by_two


async def _restage(deployment: Deployment) -> float:
    """Seconds until a generation of another model is complete, while the stager runs."""
    engine = create_engine(deployment.database)
    try:
        began = time.perf_counter()
        async with transaction(engine) as connection:
            generation = await generations.begin_restage(
                connection, deployment.workspace, "six_stage", document=None, now_us=now_us()
            )
        while True:
            async with reading(engine) as connection:
                if (await generations.read_progress(connection, generation)).is_whole:
                    return time.perf_counter() - began
            await asyncio.sleep(staging.POLL_SECONDS)
    finally:
        await engine.dispose()


async def _restage_by_two(deployment: Deployment) -> float:
    """The same, with a second stager that has half of the partitions."""
    second = await deployment.run("stager")

    async def has_half() -> bool:
        names = await second.metrics()
        return sum(name.startswith("throughline_stager_lag_records{") for name in names) == PARTITIONS // 2

    await until(has_half, what="the second stager to have half of the partitions")
    return await _restage(deployment)


async def _sweep(servers: Servers, sizes: Sizes) -> list[float]:
    """Customers a second of one sweep of four partitions. One run: afterwards every customer has lapsed."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        await _fill_journeys(deployment, sizes.customers)
        await servers.checkpoint()
        engine = create_engine(deployment.database)
        thresholds = gc.get_threshold()
        try:
            active_models = await ModelRegistry(engine).current()

            async def sweep_all(partition: int) -> int:
                swept, more = 0, True
                while more:
                    lapsed, more = await sweep(
                        engine, active_models, Share(partition, PARTITIONS), watermark_us=now_us()
                    )
                    swept += lapsed
                return swept

            gc.collect()
            gc.freeze()
            gc.set_threshold(*COLLECTOR_THRESHOLDS)  # as in a stager
            began = time.perf_counter()
            swept = sum(await asyncio.gather(*(sweep_all(partition) for partition in range(PARTITIONS))))
            seconds = time.perf_counter() - began
        finally:
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            await engine.dispose()
    if swept != sizes.customers:
        raise RuntimeError(f"{swept:,} of {sizes.customers:,} customers lapsed")
    print_progress(f"journeys: {swept:,} lapses in {seconds:.1f} s")
    return [swept / seconds]


async def _fill_journeys(deployment: Deployment, customers: int) -> None:
    """Write customers who viewed a product a year ago and sent nothing since, as staging would have left them."""
    at_us = now_us() - 365 * DAY_US
    view = Touchpoint(at_us, 0, "m", "c", "track", "Product Viewed", deployment.workspace_id, 1, "direct", at_us)
    journey = fold(load_model("seven_phase"), None, [view]).journey
    assert journey is not None
    names = [f"customer-{number:07d}" for number in range(customers)]
    digests = [id_digest(deployment.workspace_id, name) for name in names]
    connection = await asyncpg.connect(deployment.database)
    try:
        await connection.copy_records_to_table(
            "ids",
            columns=["workspace", "id", "name", "is_user", "members", "links", "root"],
            records=[
                (deployment.workspace_id, digest, name, True, 1, 0, digest)
                for digest, name in zip(digests, names, strict=True)
            ],
        )
        await connection.copy_records_to_table(
            "journeys",
            columns=["customer", "model", "id", "since", "look_us", *journey._fields],
            records=[
                (digest, deployment.model, name, 1, at_us + number, *journey)
                for number, (digest, name) in enumerate(zip(digests, names, strict=True))
            ],
        )
        await connection.execute("ANALYZE ids, journeys")
    finally:
        await connection.close()


async def _late_ones(servers: Servers, sizes: Sizes) -> list[Row]:
    """The cost of one late event after histories of different length: a product view, and an order at the start."""
    views: dict[int, list[float]] = {}
    orders: dict[int, float] = {}
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        customer = _Customer(deployment, topic)
        try:
            for length in sizes.histories:
                views[length], orders[length] = await customer.late(length)
                print_progress(f"journeys: a late event after {length:,} touchpoints: {median(views[length]):.1f} ms")
        finally:
            await customer.close()
    shortest = sizes.histories[0]
    note = "; ".join(f"{length:,}: {ms:,.0f} ms" for length, ms in orders.items())
    rows = [
        Row(
            name=f"one late event, {length:,} touchpoints",
            unit="ms",
            rounds=views[length],
            baseline=f"{shortest:,} touchpoints" if length != shortest else "",
            baseline_rounds=views[shortest] if length != shortest else [],
        )
        for length in sizes.histories
    ]
    rows[
        -1
    ].note = f"a late first order, from which everything is folded again, once each, by number of touchpoints: {note}"
    return rows


class _Customer:
    """Customers of one workspace, staged batch by batch in this process."""

    def __init__(self, deployment: Deployment, topic: str) -> None:
        self._site = deployment
        self._topic = topic
        self._engine = create_engine(deployment.database)
        self._offset = 0

    async def close(self) -> None:
        """Close its connections."""
        await self._engine.dispose()

    async def late(self, length: int) -> tuple[list[float], float]:
        """(milliseconds of each late view, milliseconds of a late order), after a history of this length."""
        actor = f"customer-{length}"
        start_us = now_us() - (length + 10) * STEP_US
        first = Touchpoint(start_us, 0, "", actor, "track", "Product Viewed", self._site.workspace_id, 1, "direct", 1)
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
        active_models = await ModelRegistry(self._engine).current()
        records = list(_records(self._offset, touchpoints))
        began = time.perf_counter()
        batch = prepare({0: records}, active_models, topic=self._topic)
        to = Offset(records[-1].offset + 1, record_digest(records[-1]), 0)
        moves = [OffsetMove(0, self._offset, to)]
        staged = await commit(self._engine, batch, active_models, topic=self._topic, moves=moves)
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
    return (_Record(offset + number, touchpoint) for number, touchpoint in enumerate(touchpoints))
