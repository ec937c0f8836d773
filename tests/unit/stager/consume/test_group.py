"""A stager whose Kafka client hangs."""

import time
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import TopicPartition

from services.stager.consume import group
from services.stager.consume.group import STUCK_SECONDS, Member, StuckError


@pytest.mark.parametrize(("seconds", "stuck"), [(None, False), (STUCK_SECONDS - 30, False), (STUCK_SECONDS + 1, True)])
async def test_one_lane_without_kafka_for_long_ends_the_process(
    monkeypatch: pytest.MonkeyPatch, seconds: float | None, stuck: bool
) -> None:
    monkeypatch.setattr(group, "TICK_SECONDS", 0.0)
    nothing: Any = SimpleNamespace(consumer=SimpleNamespace(highwater=lambda _: None))
    one = Member(nothing)
    since = None if seconds is None else time.monotonic() - seconds
    for partition, of in enumerate((None, since)):
        lane: Any = SimpleNamespace(without_kafka_since=of, next_offset=None)
        one._lanes[TopicPartition("touchpoints", partition)] = lane
    if stuck:
        with pytest.raises(StuckError, match="partition 1 has had no answer"):
            await one.watch()
    else:
        one._require_kafka()
