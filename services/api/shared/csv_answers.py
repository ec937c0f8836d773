"""Answers as CSV: who asks for it, and how a list of any length is sent page by page."""

import asyncio
import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import islice
from typing import Any

import msgspec
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from services.api.shared.answers import Answer
from services.api.shared.context import ApiContext
from services.api.shared.responses import JSON, AnswerResponse
from services.api.shared.tables import CSV, MEDIA_TYPE, Table, written
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken

SUFFIX = ".csv"
PAGE_ROWS = 1_000
"""Number of rows that are read at a time."""
CHUNK_ROWS = 500
"""Number of rows that are written at a time: in between, the other requests of the process have their turn."""
MAX_ROWS = 1_000_000
"""Maximum number of rows of one file: a longer list ends with a broken connection."""
ATTEMPTS = 5
"""Number of times that a page is asked for while the database is busy."""
_SCOPE_KEY = "throughline.csv"
_KEPT_HEADERS = ("cache-control", "vary", "etag")


class CsvPaths:
    """Takes the suffix `.csv` off the paths of /v1, and remembers it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and scope["path"].endswith(SUFFIX):
            scope = {**scope, "path": scope["path"].removesuffix(SUFFIX), _SCOPE_KEY: True}
        await self._app(scope, receive, send)


def has_csv_path(request: Request) -> bool:
    """Whether the path of a request ended with `.csv`."""
    return bool(request.scope.get(_SCOPE_KEY, False))


def accepts_csv(header: str) -> bool:
    """Whether an Accept header (RFC 9110, 12.5.1) names CSV, and not JSON with as high a weight."""
    weights = {CSV: 0.0, JSON: 0.0}
    for part in header.lower().split(","):
        media_type, *parameters = (text.strip() for text in part.split(";"))
        if media_type in weights:
            weight = next((text[2:] for text in parameters if text.startswith("q=")), "1")
            weights[media_type] = max(weights[media_type], _weight(weight))
    return weights[CSV] > weights[JSON]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


class ListQuestion:
    """The question that a page of a list answers, to be asked again for the pages that follow."""

    def __init__(self, endpoint: Callable[..., Awaitable[AnswerResponse[Any]]], values: Mapping[str, Any]) -> None:
        self._endpoint = endpoint
        self._values = values
        self._context: ApiContext = values["context"]
        self._token: ReadToken = values["token"]
        self._parameters: BaseModel = values["parameters"]

    @property
    def is_of_one_page(self) -> bool:
        """Whether the client has said how long a page is, and so wants one."""
        return "limit" in self._parameters.model_fields_set

    def sending(self) -> AbstractContextManager[None]:
        """As `CsvStreams.sending`."""
        return self._context.csv_streams.sending(self._token.owner)

    async def pages(self, first: Answer) -> AsyncIterator[Answer]:
        """The first page and all that follow.

        Raises:
            ServiceError: the token has been revoked, the database is away, or there are more than `MAX_ROWS` rows.
        """
        answer, rows = first, 0
        yield answer
        while (cursor := _next_cursor(answer)) is not None:
            rows += PAGE_ROWS
            if rows > MAX_ROWS:
                raise ServiceError(400, "invalid_parameter", f"a file has at most {MAX_ROWS:,} rows", field="cursor")
            answer = await self._page(cursor)
            yield answer

    async def _page(self, cursor: str) -> Answer:
        following = {"parameters": self._parameters.model_copy(update={"cursor": cursor, "limit": PAGE_ROWS})}
        for attempt in range(1, ATTEMPTS + 1):
            await self._context.tokens.recheck(self._token)
            try:
                answer: Answer = (await self._endpoint(**{**self._values, **following})).answer
            except ServiceError as error:
                if error.status not in (429, 503) or attempt == ATTEMPTS:
                    raise
                await asyncio.sleep(attempt)
            else:
                return answer
        raise AssertionError("the last attempt raises")


def with_list_question(endpoint: Callable[..., Any]) -> Callable[..., Any]:
    """The endpoint of a list, whose responses carry their question."""

    @functools.wraps(endpoint)
    async def answering(**values: Any) -> AnswerResponse[Any]:
        response: AnswerResponse[Any] = await endpoint(**values)
        response.list_pages = ListQuestion(endpoint, values)
        return response

    return answering


class TableResponse(StreamingResponse):
    """200 with the table of answers, written while it is sent.

    Args:
        headers: beside those of a file.
        name: of the file that a browser saves.
        sending: entered while the response is sent.
    """

    def __init__(
        self,
        table: Table,
        pages: AsyncIterator[Answer],
        headers: Mapping[str, str],
        name: str,
        sending: AbstractContextManager[None] | None = None,
    ) -> None:
        disposition = {"Content-Disposition": f'attachment; filename="{name}{SUFFIX}"'}
        super().__init__(_pieces(table, pages), media_type=MEDIA_TYPE, headers={**headers, **disposition})
        self._sending = sending or nullcontext()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._sending:
            await super().__call__(scope, receive, send)


def table_response(table: Table, answer: type[Answer], request: Request, response: Response) -> TableResponse:
    """An answer's response as CSV.

    A list without `limit` is sent whole. With it the file is one page, and a Link header (RFC 8288) leads to the next.
    """
    name = request.url.path.rpartition("/")[2]
    headers = {key: value for key, value in response.headers.items() if key in _KEPT_HEADERS}
    if not isinstance(response, AnswerResponse):
        return TableResponse(table, _alone(msgspec.json.decode(response.body, type=answer)), headers, name)
    question, first = response.list_pages, response.answer
    cursor = _next_cursor(first)
    if question is None or cursor is None:
        return TableResponse(table, _alone(first), headers, name)
    if question.is_of_one_page:
        path = request.url.path + (SUFFIX if has_csv_path(request) else "")
        following = request.url.replace(path=path).include_query_params(cursor=cursor)
        headers["Link"] = f'<{following.path}?{following.query}>; rel="next"'
        return TableResponse(table, _alone(first), headers, name)
    return TableResponse(table, question.pages(first), headers, name, question.sending())


def _next_cursor(answer: Answer) -> str | None:
    cursor: str | None = getattr(answer, "next_cursor", None)
    return cursor


async def _alone(answer: Answer) -> AsyncIterator[Answer]:
    yield answer


async def _pieces(table: Table, pages: AsyncIterator[Answer]) -> AsyncIterator[bytes]:
    yield written([table.header])
    async for answer in pages:
        rows = table.rows(answer)
        while piece := list(islice(rows, CHUNK_ROWS)):
            yield written(piece)
            await asyncio.sleep(0)
