"""A request is tried until its answer is final, with growing pauses or as ingest asks, and not for ever."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from throughline.cli.common import deliver
from throughline.cli.common.deliver import NotTakenError, problem_of


class Ingest:
    """Answers in turn; the last answer is repeated."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self._answers = list(answers)
        self.bodies: list[bytes] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(request.content)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses, none of which is waited for."""
    seconds: list[float] = []

    async def sleep(pause: float) -> None:
        seconds.append(pause)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    return seconds


async def send(ingest: Ingest, say: Callable[[str], None] = lambda _: None) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.MockTransport(ingest), base_url="http://ingest") as client:
        return await deliver.deliver(client, "/v1/batch", b"{}", {}, say)


async def test_it_is_tried_again_until_it_is_taken(pauses: list[float]) -> None:
    busy = [httpx.Response(status) for status in (503, 500, 429, 408, 503)]
    ingest = Ingest(httpx.ConnectError("refused"), *busy, httpx.Response(200))
    news: list[str] = []
    assert (await send(ingest, news.append)).status_code == 200
    assert ingest.bodies == [b"{}"] * 7
    assert pauses == [1, 2, 4, 8, 15, 15]
    assert news == ["ingest takes nothing now (refused); trying again"]


async def test_ingest_says_how_long_to_wait(pauses: list[float]) -> None:
    answers = [httpx.Response(503, headers={"Retry-After": value}) for value in ("7", "3600", "soon")]
    await send(Ingest(*answers, httpx.Response(200)))
    assert pauses == [7, 15, 4]


@pytest.mark.parametrize("status", [200, 400, 401, 404, 431])
async def test_any_other_answer_is_final(status: int, pauses: list[float]) -> None:
    assert (await send(Ingest(httpx.Response(status)))).status_code == status
    assert not pauses


@pytest.mark.usefixtures("pauses")
async def test_it_is_given_up_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliver, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(NotTakenError, match=r"^ingest at http://ingest takes nothing \(it answers 503\)$"):
        await send(Ingest(httpx.Response(503)))


def test_a_problem_has_a_code_and_a_message() -> None:
    details = {"code": "invalid_write_key", "message": "no such key"}
    assert problem_of(httpx.Response(401, json=details)) == ("invalid_write_key", "no such key")
    assert problem_of(httpx.Response(502, text="Bad gateway")) == ("http_502", "Bad gateway")
    assert problem_of(httpx.Response(400, json=["x"])) == ("http_400", '["x"]')
