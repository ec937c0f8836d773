"""When questions go to the replica: it answers, and its watermark is near enough to the primary's."""

import math
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from services.api.shared import replica as module
from services.api.shared.replica import Replica
from throughline.kit.metrics import API_REPLICA_LAG_SECONDS

SECOND = 1_000_000


@pytest.fixture
def watermarks(monkeypatch: pytest.MonkeyPatch) -> dict[str, int | Exception]:
    """The newest watermark of each database, or why it does not answer."""
    newest: dict[str, int | Exception] = {"replica": 100 * SECOND, "primary": 100 * SECOND}

    async def read(_: Replica, engine: Any) -> int:
        answer = newest[engine]
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(module.Replica, "_read_watermark", read)
    return newest


def make() -> Replica:
    return Replica("replica", "primary", "touchpoints", max_lag_seconds=10)  # type: ignore[arg-type]


async def test_it_is_used_once_it_has_answered(watermarks: dict[str, int | Exception]) -> None:
    replica = make()
    assert not replica.is_usable
    await replica.look()
    assert replica.is_usable


@pytest.mark.parametrize(("behind_seconds", "usable"), [(0, True), (10, True), (11, False), (-1, True)])
async def test_how_far_it_may_be_behind(
    watermarks: dict[str, int | Exception], behind_seconds: int, usable: bool
) -> None:
    replica = make()
    watermarks["primary"] = (100 + behind_seconds) * SECOND
    await replica.look()
    assert replica.is_usable is usable
    assert API_REPLICA_LAG_SECONDS._value.get() == max(0, behind_seconds)


async def test_it_comes_and_goes(watermarks: dict[str, int | Exception]) -> None:
    replica = make()
    for answer in (OperationalError("", {}, Exception("away")), TimeoutError(), OSError("refused")):
        seen = []
        for watermark in (100 * SECOND, answer):
            watermarks["replica"] = watermark
            await replica.look()
            seen.append(replica.is_usable)
        assert seen == [True, False]
        assert API_REPLICA_LAG_SECONDS._value.get() == math.inf


async def test_it_answers_while_the_primary_is_away(watermarks: dict[str, int | Exception]) -> None:
    replica = make()
    await replica.look()
    watermarks["primary"] = OSError("refused")
    await replica.look()
    assert replica.is_usable


async def test_a_failed_question_is_the_last_until_the_next_look(watermarks: dict[str, int | Exception]) -> None:
    replica = make()
    seen = []
    for act in (replica.look, replica.distrust, replica.look):
        if (looking := act()) is not None:
            await looking
        seen.append(replica.is_usable)
    assert seen == [True, False, True]
