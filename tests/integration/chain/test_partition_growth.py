"""A topic that gets more partitions under load: a customer's events lie on two then, and the state stays exact."""

import pytest
from aiokafka.admin import NewPartitions

from tests.support.shop import expect, send, shop_log, staged_through
from tests.support.stack import Stack
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.kafka import create_admin
from throughline.wire.codec import partition_of

GROWN = 7


async def send_while_growing(stack: Stack) -> list[Touchpoint]:
    """A log of which one third is sent before; returns it. Events and their repetitions fall on both sides."""
    log = shop_log(stack, 1_500, customers=100)
    third = len(log) // 3
    await send(stack, log[:third])
    admin = create_admin(stack.kafka)
    await admin.start()
    try:
        await admin.create_partitions({stack.touchpoints: NewPartitions(total_count=GROWN)})
    finally:
        await admin.close()
    moved = {event.actor for event in log if partition_of(event.actor.encode(), 4) != _new_partition(event)}
    assert len(moved) > 50
    await send(stack, log[third : 2 * third])  # of clients that do not know yet
    stack.partitions = GROWN
    await send(stack, log[2 * third :])
    return log


def _new_partition(event: Touchpoint) -> int:
    return partition_of(event.actor.encode(), GROWN)


async def test_a_new_member_brings_the_new_partitions(stack: Stack) -> None:
    old = await stack.start("stager")
    log = await send_while_growing(stack)
    await stack.start("stager")
    await old.child.stop()
    await staged_through(stack, seconds=120)
    await expect(stack, log)


@pytest.mark.deep
async def test_a_running_member_notices_within_half_a_minute(stack: Stack) -> None:
    await stack.start("stager")
    log = await send_while_growing(stack)
    await staged_through(stack, seconds=90)
    await expect(stack, log)
