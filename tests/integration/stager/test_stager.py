"""Stager as a process, on real Kafka and PostgreSQL: exactly once, whatever is killed."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from tests.support.shop import START_US, expect, send, shop_log, staged_through
from tests.support.stack import Stack, until
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.kafka import ensure_topics
from throughline.local import LocalKafka, LocalPostgres
from throughline.wire.codec import decode_rejected, encode, partition_of


async def sums_while(stack: Stack, ended: asyncio.Event) -> set[tuple[int, int]]:
    """What a reader sees until it is ended: the sum over all phases, and the number of customers."""
    connection = await asyncpg.connect(stack.database)
    seen: set[tuple[int, int]] = set()
    try:
        while not ended.is_set():
            row = await connection.fetchrow(
                "SELECT (SELECT coalesce(sum(active + lapsed), 0)::bigint FROM phase_counts), "
                "(SELECT count(*) FROM journeys WHERE model > 0)"  # those below are being recomputed aside
            )
            assert row is not None
            seen.add((row[0], row[1]))
            await asyncio.sleep(0.02)
    finally:
        await connection.close()
    return seen


async def test_two_stagers_share_a_shuffled_log(stack: Stack) -> None:
    first, second = await stack.start("stager"), await stack.start("stager")
    log = shop_log(stack, 3_000, customers=300)
    staged = asyncio.Event()
    looking = asyncio.create_task(sums_while(stack, staged))
    await send(stack, log)
    await staged_through(stack)
    await expect(stack, log)
    staged.set()
    looks = await looking
    assert {(counted, customers) for counted, customers in looks if counted != customers} == set()
    assert len(looks) > 2  # in the middle of it, too
    outcomes = [await service.metrics() for service in (first, second)]
    for outcome, count in (("staged", 3_000), ("duplicate", 300), ("conflict", 0), ("rejected", 0)):
        name = f'throughline_stager_records_total{{outcome="{outcome}"}}'
        assert sum(metrics.get(name, 0) for metrics in outcomes) == count
    assert all(metrics['throughline_stager_records_total{outcome="staged"}'] > 0 for metrics in outcomes)


async def test_killed_stagers_lose_and_repeat_nothing(stack: Stack) -> None:
    """Four at a time, on customers who have ids on several partitions."""
    dice = random.Random(7)
    log = shop_log(stack, 6_000, customers=300)
    survivor, *_ = [await stack.start("stager", BATCH_RECORDS="200") for _ in range(3)]
    sending = asyncio.create_task(send(stack, log))
    for _ in range(3):
        victim = await stack.start("stager", BATCH_RECORDS="200")
        await asyncio.sleep(dice.random() * 0.5)
        await victim.child.kill()
    await sending
    await staged_through(stack, seconds=180)
    await expect(stack, log)
    assert survivor.child.running


async def test_a_member_that_leaves_drains_and_commits_the_groups_offsets(stack: Stack) -> None:
    stager = await stack.start("stager")
    log = shop_log(stack, 500)
    await send(stack, log)
    await staged_through(stack)
    await stager.child.stop()
    assert await stager.child.wait() == 0
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka, group_id=f"group-{stack.touchpoints}")
    await consumer.start()
    try:
        partitions = [TopicPartition(stack.touchpoints, n) for n in range(4)]
        ends = await consumer.end_offsets(partitions)
        assert {tp: await consumer.committed(tp) for tp in partitions if ends[tp]} == {
            tp: end for tp, end in ends.items() if end
        }
    finally:
        await consumer.stop()


async def test_database_and_broker_may_be_killed(stack: Stack, kafka: LocalKafka, postgres: LocalPostgres) -> None:
    stager = await stack.start("stager", BATCH_RECORDS="200")
    log = shop_log(stack, 9_000, customers=600)
    await send(stack, log[:3_000])
    await postgres.kill()
    await send(stack, log[3_000:6_000])
    await postgres.start()
    await kafka.kill()
    await kafka.start()
    await send(stack, log[6_000:])
    await staged_through(stack, seconds=150)
    await expect(stack, log)
    await stager.ready()


async def rejected_records(stack: Stack, count: int) -> list[tuple[str, bytes, str]]:
    consumer = AIOKafkaConsumer(stack.rejected, bootstrap_servers=stack.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        records: list[tuple[str, bytes, str]] = []
        async with asyncio.timeout(20):
            while len(records) < count:
                rejected = decode_rejected((await consumer.getone()).value)
                records.append((rejected.code, rejected.payload, rejected.origin))
        return records
    finally:
        await consumer.stop()


async def test_poison_is_rejected_whole_and_its_neighbours_are_staged(stack: Stack) -> None:
    good = Touchpoint(START_US, 0, "m1", "c1", "track", "Product Added", stack.workspace_id, 1, "direct", START_US)
    after = good._replace(message_id="m2", name="Order Completed", occurred_us=START_US + 1)
    nul = encode(good._replace(message_id="m3", name="a\0b"))
    stranger = encode(good._replace(message_id="m4", workspace=999_999))
    ancient = encode(good._replace(message_id="m5", occurred_us=-(2**62)))
    poison = [b"\xff\xffnot protobuf", b"", nul, stranger, ancient]
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka)
    await producer.start()
    try:
        for value in (encode(good), *poison, encode(after)):
            await producer.send_and_wait(stack.touchpoints, value, key=b"c1", partition=partition_of(b"c1", 4))
    finally:
        await producer.stop()
    await stack.start("stager")
    await staged_through(stack)
    await expect(stack, [good, after])
    records = await rejected_records(stack, len(poison))
    assert sorted(payload for _, payload, _ in records) == sorted(poison)
    codes = {payload: code for code, payload, _ in records}
    assert codes == {
        poison[0]: "undecodable",
        b"": "missing_field",
        nul: "unstorable",
        stranger: "unknown_workspace",
        ancient: "time_out_of_range",
    }
    assert all(origin.startswith(f"{stack.touchpoints}/") for _, _, origin in records)


async def _with_admin(stack: Stack, action: Callable[[AIOKafkaAdminClient], Awaitable[object]]) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    try:
        await action(admin)
    finally:
        await admin.close()


async def test_a_recreated_topic_is_noticed_and_started_over(stack: Stack) -> None:
    stager = await stack.start("stager")
    log = shop_log(stack, 400)
    await send(stack, log)
    await staged_through(stack)
    await stager.child.stop()
    await _with_admin(stack, lambda admin: admin.delete_topics([stack.touchpoints]))

    async def recreated() -> bool:
        await ensure_topics(stack.kafka, {stack.touchpoints: 4})
        try:
            await send(stack, log[:1])
        except Exception:
            return False
        return True

    await until(recreated, what="the topic to be deleted and made again")
    more = [event._replace(message_id=f"again-{event.message_id}") for event in shop_log(stack, 900, seed=2)]
    await send(stack, more)
    again = await stack.start("stager")
    await staged_through(stack)
    await expect(stack, log + more)
    assert (await again.metrics())["throughline_stager_recreated_partitions_total"] >= 1
    assert "RECREATED" in again.child.tail(60)


async def test_lost_records_are_counted_and_said_and_sending_again_mends_it(stack: Stack) -> None:
    """Kafka's retention was shorter than an outage of the stager."""
    stager = await stack.start("stager")
    log = [event for event in shop_log(stack, 200) if partition_of(event.actor.encode(), 4) == 0]
    await send(stack, log)
    await staged_through(stack)
    await stager.child.stop()
    lost = [event._replace(message_id=f"lost-{event.message_id}") for event in log]
    await send(stack, lost)
    tp = TopicPartition(stack.touchpoints, 0)
    await _with_admin(
        stack,
        lambda admin: admin.delete_records({tp: RecordsToDelete(before_offset=len(log) + len(lost))}),
    )
    late = [event._replace(message_id=f"late-{event.message_id}") for event in log]
    await send(stack, late)
    again = await stack.start("stager")
    await staged_through(stack)
    await expect(stack, log + late)
    assert (await again.metrics())["throughline_stager_lost_records_total"] == len(lost)
    assert f"LOST {len(lost)} records" in again.child.tail(60)
    await send(stack, log + lost + late)
    await staged_through(stack)
    await expect(stack, log + lost + late)
