"""A stager whose Kafka client hangs."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.stager.consume import group
from services.stager.consume.group import STUCK_SECONDS, GroupMember, StuckError


@pytest.mark.parametrize(("seconds", "stuck"), [(None, False), (STUCK_SECONDS - 30, False), (STUCK_SECONDS + 1, True)])
async def test_a_partition_without_kafka_for_long_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, stuck: bool
) -> None:
    monkeypatch.setattr(group, "TICK_SECONDS", 0.0)
    context: Any = SimpleNamespace(consumer=SimpleNamespace(highwater=lambda _: None))
    member = GroupMember(context)
    since = None if seconds is None else time.monotonic() - seconds
    loop: Any = SimpleNamespace(
        partitions={
            TopicPartition("touchpoints", number): SimpleNamespace(without_kafka_since=since, next_offset=None)
            for number, since in enumerate((None, since))
        }
    )
    member._loop = loop
    if stuck:
        with pytest.raises(StuckError, match="partition 1 has had no answer"):
            await member.watch()
    else:
        member._require_kafka()
