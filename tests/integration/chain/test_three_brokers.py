"""A Kafka of three brokers under load: one may be away; with two away ingest says 503; nothing is lost."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.strategies.touchpoints import NAMES
from tests.support.events import event
from tests.support.load import Load
from tests.support.shop import START_US, expect, staged_through
from tests.support.stack import Stack
from tests.support.topic import read_touchpoints
from throughline.kit.clock import rfc3339
from throughline.kit.kafka import create_admin
from throughline.local import LocalKafka, LocalKafkaCluster

MINUTE_US = 60_000_000
CUSTOMERS = 100


@pytest.fixture(scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalKafkaCluster]:
    """Three brokers, of which a test may leave one dead. They are killed in the end: none has anything to tidy up."""
    async with LocalKafkaCluster(tmp_path_factory.mktemp("cluster") / "kafka", heap_mb=96) as brokers:
        yield brokers
        await asyncio.gather(*(broker.kill() for broker in brokers.brokers))


@pytest.fixture
async def on_three(cluster: LocalKafkaCluster, database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """A provisioned workspace on the three brokers; the services make the topics."""
    name = f"touchpoints-{tmp_path.name}"
    stack = Stack(cluster.bootstrap, database, name, f"{name}.rejected", tmp_path)
    await stack.provision()
    yield stack
    await stack.stop()


def shop_event(number: int) -> dict[str, Any]:
    """Long ago, so that all journeys have lapsed; in no order of time."""
    at = rfc3339(START_US + number * 7_919 % 100_000 * MINUTE_US)
    return event(number, userId=f"user-{number % CUSTOMERS}", event=NAMES[number % len(NAMES)], timestamp=at)


async def start_services(stack: Stack, cluster: LocalKafkaCluster, **variables: str) -> Load:
    """Ingest and stager, their topics as on three brokers, and clients that have been answered."""
    copies = {
        "REPLICATION_FACTOR": str(cluster.copies.replicas),
        "MIN_INSYNC_REPLICAS": str(cluster.copies.in_sync),
    }
    ingest = await stack.start("ingest", ready=True, **copies, **variables)
    await stack.start("stager", ready=True, **copies)
    load = Load(ingest, stack.write_key, make=shop_event, pause_s=0.1)
    await load.reaches(200, 20)
    return load


async def leader_of_the_first_partition(stack: Stack, cluster: LocalKafkaCluster) -> LocalKafka:
    admin = create_admin(stack.kafka)
    await admin.start()
    try:
        (topic,) = await admin.describe_topics([stack.touchpoints])
    finally:
        await admin.close()
    (leader,) = (int(part["leader"]) for part in topic["partitions"] if part["partition"] == 0)
    return cluster.brokers[leader - 1]


async def expect_nothing_lost(stack: Stack, load: Load) -> None:
    """What was acknowledged is on the log, and the state is what follows from the log."""
    assert set(load.statuses) <= {200, 503}
    log = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert load.acknowledged <= {touchpoint.message_id for touchpoint in log}
    await staged_through(stack, seconds=120)
    await expect(stack, log)


async def test_one_broker_may_be_lost_and_of_two_one_has_to_come_back(
    on_three: Stack, cluster: LocalKafkaCluster
) -> None:
    load = await start_services(on_three, cluster, ACK_SECONDS="4")
    try:
        first = await leader_of_the_first_partition(on_three, cluster)
        second = next(broker for broker in cluster.brokers if broker is not first)
        await first.kill()
        await load.reaches(200, 100, seconds=120)
        await second.kill()
        await load.reaches(503, 8)
        await first.start()
        await load.reaches(200, 100, seconds=120)
    finally:
        await load.stop()
    await expect_nothing_lost(on_three, load)


@pytest.mark.deep
@pytest.mark.timeout(900)
async def test_each_broker_is_killed_and_each_restarted_in_order(on_three: Stack, cluster: LocalKafkaCluster) -> None:
    """With the waits of ingest as they are, nothing is refused for longer than a leader's election."""
    for broker in cluster.brokers:
        if not psutil.pid_exists(broker.pid):
            await broker.start()
    load = await start_services(on_three, cluster)
    waits = {}
    try:
        for how in ("killed", "restarted"):
            load.longest_wait_s = 0.0
            for broker in cluster.brokers:
                await (broker.stop() if how == "restarted" else broker.kill())
                await load.reaches(200, 100)
                await broker.start()
                await cluster.until_in_sync()
                await load.reaches(200, 100)
            waits[how] = round(load.longest_wait_s, 1)
            print(f"{how}: longest wait for a 200 {waits[how]} s; answers {dict(load.statuses)}", flush=True)
    finally:
        await load.stop()
    await expect_nothing_lost(on_three, load)
    print(f"longest wait for a 200, s: {waits}; answers: {dict(load.statuses)}; {len(load.acknowledged)} events")
    assert max(waits.values()) < 30
