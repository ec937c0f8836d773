"""A list as a file: its pages follow each other, and it ends when it may not go on."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest

from services.api.shared import csv_answers
from services.api.shared.answers import Answer
from services.api.shared.csv_answers import PAGE_ROWS, ListQuestion, with_list_question
from services.api.shared.csv_streams import CsvStreams
from services.api.shared.parameters import PageParameters
from services.api.shared.responses import AnswerResponse
from throughline.kit.errors import ServiceError


class Numbers(Answer):
    """A page of numbers."""

    TABLE: ClassVar[str] = "items"
    items: list[int]
    next_cursor: str | None


class Tokens:
    """Tokens of which one may be revoked."""

    is_revoked = False

    async def recheck(self, _: object) -> None:
        if self.is_revoked:
            raise ServiceError(401, "unknown_token", "revoked")


class Listed:
    """A list of so many pages, whose endpoint may be busy."""

    def __init__(self, pages: int, *, busy: int = 0) -> None:
        self.pages = pages
        self.busy = busy
        self.limits: list[int] = []
        self.tokens = Tokens()
        self.context = SimpleNamespace(csv_streams=CsvStreams(), tokens=self.tokens)

    async def endpoint(self, context: object, token: object, parameters: PageParameters) -> AnswerResponse[Numbers]:
        if self.busy and parameters.cursor is not None:
            self.busy -= 1
            raise ServiceError(429, "too_many_statements", "busy")
        self.limits.append(parameters.limit)
        page = int(parameters.cursor or 0)
        return AnswerResponse(Numbers([page], str(page + 1) if page + 1 < self.pages else None))

    async def first(self, **parameters: Any) -> AnswerResponse[Numbers]:
        endpoint = with_list_question(self.endpoint)
        response: AnswerResponse[Numbers] = await endpoint(
            context=self.context, token=SimpleNamespace(owner=1), parameters=PageParameters(**parameters)
        )
        return response


async def items(pages: AsyncIterator[Answer]) -> list[int]:
    """The items of all pages."""
    return [item async for page in pages for item in page.table_items()]


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async def soon(_: float) -> None:
        return None

    monkeypatch.setattr(asyncio, "sleep", soon)


async def test_pages_follow_each_other_and_are_long() -> None:
    listed = Listed(4, busy=2)
    response = await listed.first()
    assert response.list_pages is not None
    assert not response.list_pages.is_of_one_page
    assert await items(response.list_pages.pages(response.answer)) == [0, 1, 2, 3]
    assert listed.limits == [50, PAGE_ROWS, PAGE_ROWS, PAGE_ROWS]


async def test_who_says_how_long_a_page_is_wants_one() -> None:
    response = await Listed(4).first(limit=50)
    assert response.list_pages is not None
    assert response.list_pages.is_of_one_page


async def test_a_list_ends_when_it_may_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    for fault in ("revoked", "busy", "long"):
        listed = Listed(4, busy=99 if fault == "busy" else 0)
        response = await listed.first()
        question = response.list_pages
        assert isinstance(question, ListQuestion)
        listed.tokens.is_revoked = fault == "revoked"
        monkeypatch.setattr(csv_answers, "MAX_ROWS", 2 * PAGE_ROWS if fault == "long" else 10**9)
        with pytest.raises(ServiceError) as caught:
            await items(question.pages(response.answer))
        assert caught.value.status == {"revoked": 401, "busy": 429, "long": 400}[fault]


def test_so_many_lists_are_sent_at_once() -> None:
    streams = CsvStreams(limit=3, each=2)
    with streams.sending(1), streams.sending(1):
        with pytest.raises(ServiceError) as caught, streams.sending(1):
            pass
        assert (caught.value.status, caught.value.code) == (429, "too_many_streams")
        with streams.sending(2):
            with pytest.raises(ServiceError) as caught, streams.sending(3):
                pass
            assert caught.value.status == 503
        with streams.sending(3):
            pass
    with streams.sending(1):
        pass
