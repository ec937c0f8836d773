"""A shop's log, sent through Kafka to a stager, and the state that must follow from it."""

import asyncio
import random
from operator import add

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.reference import Cell, Counts, replay
from tests.strategies.touchpoints import NAMES
from tests.support.projection import Projection, assert_same, read_projection
from tests.support.stack import Stack, until
from throughline.journey.diff import Deltas, contribute
from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow
from throughline.kit.clock import now_us
from throughline.models import load_model
from throughline.wire.codec import encode, partition_of

START_US = 1_700_000_000_000_000


def shop_log(stack: Stack, events: int, *, customers: int = 60, seed: int = 1) -> list[Touchpoint]:
    """A shuffled log with some events twice: customers with user ids, anonymous ids, and links between these."""
    dice = random.Random(seed)
    log = []
    for number in range(events):
        user, anonymous = f"c{dice.randrange(customers)}", f"a{dice.randrange(customers)}"
        who = dice.choice(["user"] * 10 + ["anonymous"] * 8 + ["both", "alias"])
        log.append(
            Touchpoint(
                occurred_us=START_US + number * 60_000_000,
                place=0,
                message_id=f"m{number}",
                actor=anonymous if who == "anonymous" else user,
                call="alias" if who == "alias" else "track",
                name="" if who == "alias" else dice.choice(NAMES),
                workspace=stack.workspace_id,
                source=1,
                channel=dice.choice(["direct", "email"]),
                received_us=START_US,
                user_id="" if who == "anonymous" else user,
                anonymous_id=anonymous if who in ("anonymous", "both") else "",
                previous_id=f"c{dice.randrange(customers)}" if who == "alias" else "",
                order_id=dice.choice(["", "o1", "o2"]),
            )
        )
    log += dice.sample(log, events // 10)
    dice.shuffle(log)
    return log


async def send(stack: Stack, log: list[Touchpoint]) -> None:
    """Put a log on the topic, each touchpoint on the partition of its actor."""
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all", enable_idempotence=True)
    await producer.start()

    async def knows_all_partitions() -> bool:
        await producer.client.force_metadata_update()
        return len(await producer.partitions_for(stack.touchpoints)) >= stack.partitions

    try:
        await until(knows_all_partitions, what=f"{stack.partitions} partitions")
        sent = []
        for event in log:
            key = event.actor.encode()
            partition = partition_of(key, stack.partitions)
            sent.append(await producer.send(stack.touchpoints, encode(event), key=key, partition=partition))
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def staged_through(stack: Stack, *, seconds: float = 60) -> None:
    """Wait until PostgreSQL holds everything that is on the topic."""
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka)
    await consumer.start()
    try:
        partitions = [TopicPartition(stack.touchpoints, n) for n in range(stack.partitions)]
        ends = {tp.partition: end for tp, end in (await consumer.end_offsets(partitions)).items()}
    finally:
        await consumer.stop()

    connection: asyncpg.Connection | None = None

    async def reached() -> bool:
        nonlocal connection
        try:
            connection = connection or await asyncpg.connect(stack.database)
            rows = await connection.fetch(
                "select partition, next_offset from offsets where topic = $1", stack.touchpoints
            )
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
            if connection is not None:
                connection.terminate()
            connection = None
            return False
        return {row["partition"]: row["next_offset"] for row in rows} == ends

    logs = [service.child for service in stack.services]
    try:
        await until(reached, seconds=seconds, what=lambda: "\n".join(log.tail(30) for log in logs))
    finally:
        if connection is not None:
            connection.terminate()


async def projection_of(stack: Stack) -> Projection:
    """The state of the live model, once all lapses up to now are in: every journey of the log has lapsed by then."""
    began_us = now_us()
    connection = await asyncpg.connect(stack.database)
    try:
        model = await connection.fetchval(
            "select id from models where workspace = $1 and state = 'live'", stack.workspace_id
        )

        async def swept() -> bool:
            rows = await connection.fetch("select swept_us from offsets where topic = $1", stack.touchpoints)
            marks = await connection.fetchval("select count(*) from recomputations")
            return len(rows) == stack.partitions and min(row[0] for row in rows) >= began_us and not marks

        await until(swept, what="every partition to be swept, and no journey to be recomputed aside")
    finally:
        await connection.close()
    return await read_projection(stack.database, model)


async def expect(stack: Stack, log: list[Touchpoint]) -> None:
    """The state must be what the reference derives from the log."""
    assert_same(await projection_of(stack), replay(log, "seven_phase", now_us()), now_us())


async def expect_folded(stack: Stack, history: list[Touchpoint]) -> None:
    """The state of one customer must be that of a fold from its first touchpoint on: the reference takes hours here."""
    actual = await projection_of(stack)
    model = load_model("seven_phase")
    journey, transitions, _ = fold(model, None, sorted(history), now_us(), follow)
    assert journey is not None
    (customer,) = actual.customers.values()
    assert [(*step[:-1], *(step.told or ())) for step in customer.transitions] == [*map(tuple, transitions)]
    names = ("phase", "cycle", "lapsed_us", "entered_us", "active_us", "source", "channel", "first_us")
    assert [getattr(customer.state, name) for name in names] == [getattr(journey, name) for name in names]
    assert (customer.state.highest, customer.state.last) == (journey.highest_phase, journey.last_key)
    deltas: Deltas = {}
    contribute(deltas, 0, journey, None, transitions)
    sums: dict[Cell, Counts] = {}
    for cell, delta in deltas.items():
        key = (cell.source, cell.channel, cell.phase)
        sums[key] = Counts(*map(add, sums.get(key, Counts()), Counts(*delta)))
    assert actual.counts == {cell: counts for cell, counts in sums.items() if any(counts)}
