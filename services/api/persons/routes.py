"""A person's rights: erasures, and exports."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import StreamingResponse

from services.api.auth import AdminToken
from services.api.persons.answers import DataRequest, DataRequests, ErasureAnswer, Erasures, erasure_answer
from services.api.persons.queries import RequestPosition, find_request, list_requests
from services.api.shared.context import ApiContext, Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, PageParameters
from services.api.shared.responses import JSON, AnswerResponse
from throughline.kit.clock import now_us, rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken
from throughline.store.digest import id_digest
from throughline.store.erasures import find_erasure, list_erasures
from throughline.store.exports import export_person
from throughline.wire.claims import ERASE, Claim
from throughline.wire.names import MAX_ID, clean_name, names_in

router = APIRouter(tags=["persons"], route_class=AnswerRoute)
cursors = CursorCodec("d", RequestPosition)
erasure_cursors = CursorCodec("x", RequestPosition)

MAX_EXPORTS = 1
"""Maximum number of exports under way at once in a process: each reads page by page for as long as its client does."""
_exports = asyncio.Semaphore(MAX_EXPORTS)


class PersonBody(BaseModel):
    """Which person."""

    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(min_length=1, pattern=TEXT, description="any id of the person", examples=["ada"])]


class ErasureBody(PersonBody):
    """Which person, and whether the ids may come back."""

    once: bool = Field(False, description="erase what was received until now; later events count again")


@router.post("/v1/erasures", responses=problem_responses(400, 403), summary="Erase a person")
async def post_erasure(context: Context, token: AdminToken, body: ErasureBody) -> AnswerResponse[ErasureAnswer]:
    """Put the erasure of a person on the log. All ids of the customer are erased, and suppressed unless `once`.

    An id that no event has named is suppressed all the same. GET /v1/erasures/{id} tells how far it has come.
    """
    digest = _digest(token, body.id)
    claim = Claim(ERASE, token.workspace, f"erase-{uuid4().hex}", now_us(), (digest,), once=body.once)
    # The log is no part of a transaction: the entry comes first, so that no erasure is without one.
    entry = {"erasure": claim.name, "id_digest": digest.hex(), "once": body.once}
    async with context.database.administering(token, "erasure create", entry):
        pass
    await context.claims.put(claim)
    return AnswerResponse(
        ErasureAnswer(
            id=claim.name,
            state="accepted",
            once=claim.once,
            asked_at=rfc3339(claim.at_us),
            ids=1,
            touchpoints=0,
            done_at=None,
            log_clear_at=None if context.log_seconds is None else rfc3339(claim.at_us + int(context.log_seconds * 1e6)),
            proof={},
        )
    )


@router.get("/v1/erasures", responses=problem_responses(400, 403), summary="Erasures")
async def get_erasures(
    context: Context, token: AdminToken, parameters: Annotated[PageParameters, Query()]
) -> AnswerResponse[Erasures]:
    """All erasures that are staged, newest first: those under way, and those that are done with their proof."""
    after = erasure_cursors.decode(parameters.cursor)
    async with context.database.reading("erasures", token.workspace) as connection:
        before = None if after is None else after.id
        rows = await list_erasures(connection, token.workspace, before, parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(
        Erasures(
            items=[erasure_answer(row) for row in page],
            next_cursor=None if last is None else erasure_cursors.encode(RequestPosition(last.id)),
        )
    )


@router.get(
    "/v1/erasures/{erasure}",
    responses=problem_responses(400, 403, not_found="no erasure of that id is staged"),
    summary="How far an erasure has come",
)
async def get_erasure(
    context: Context, token: AdminToken, erasure: Annotated[str, Path(pattern=TEXT, max_length=512)]
) -> AnswerResponse[ErasureAnswer]:
    """The state of an erasure and, once it is done, its proof."""
    async with context.database.reading("erasure", token.workspace) as connection:
        stored = await find_erasure(connection, token.workspace, erasure)
    if stored is None:
        raise ServiceError(
            404, "unknown_erasure", "no erasure of that id is staged; a new one is within a second or so"
        )
    return AnswerResponse(erasure_answer(stored))


@router.get("/v1/exports", responses=problem_responses(400, 403), summary="Requests of persons for a copy")
async def get_exports(
    context: Context, token: AdminToken, parameters: Annotated[PageParameters, Query()]
) -> AnswerResponse[DataRequests]:
    """What shops have passed on (`customers/data_request`), newest first."""
    after = cursors.decode(parameters.cursor)
    async with context.database.reading("data requests", token.workspace) as connection:
        rows = await list_requests(connection, token.workspace, after, parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(
        DataRequests(
            items=[DataRequest(id=row.id, request=row.name, requested_at=rfc3339(row.requested_us)) for row in page],
            next_cursor=None if last is None else cursors.encode(last.position),
        )
    )


_EXPORT: dict[int | str, dict[str, Any]] = {
    200: {"description": "everything stored of the person, as one JSON object", "content": {JSON: {}}}
}


@router.post("/v1/exports", responses=_EXPORT | problem_responses(400, 403, 429), summary="Everything about a person")
async def post_export(context: Context, token: AdminToken, body: PersonBody) -> StreamingResponse:
    """Everything that is stored of a person, streamed. An id that no event has named has empty lists."""
    return await _export(context, token, _digest(token, body.id))


@router.get(
    "/v1/exports/{request}",
    responses=_EXPORT | problem_responses(400, 403, 429, not_found="no such request"),
    summary="Everything about the person of a request",
)
async def get_export(
    context: Context, token: AdminToken, request: Annotated[int, Path(ge=0, lt=2**63)]
) -> StreamingResponse:
    """Everything that is stored of the person of a request, streamed."""
    async with context.database.reading("data requests", token.workspace) as connection:
        row = await find_request(connection, token.workspace, request)
    if row is None:
        raise ServiceError(404, "unknown_request", "no request for a copy has that id; GET /v1/exports lists them")
    return await _export(context, token, row.digest)


def _digest(token: ReadToken, id_: str) -> bytes:
    name = clean_name(id_)
    if not name or len(name) > MAX_ID or any("\ud800" <= character <= "\udfff" for character in name):
        raise ServiceError(400, "invalid_parameter", f"id: an id has 1 to {MAX_ID} characters", field="id")
    return id_digest(token.workspace, name)


async def _export(context: ApiContext, token: ReadToken, digest: bytes) -> StreamingResponse:
    if _exports.locked():
        raise ServiceError(
            429, "too_many_exports", "another export is under way; send the same again", headers={"Retry-After": "5"}
        )
    async with context.database.administering(token, "export", {"id_digest": digest.hex()}):
        pass
    parts = export_person(
        lambda: context.database.reading("export", token.workspace), token.workspace, digest, names_in, now_us()
    )
    return StreamingResponse(
        _one_at_a_time(parts),
        media_type=JSON,
        headers={"Cache-Control": "no-store", "Content-Disposition": 'attachment; filename="person.json"'},
    )


async def _one_at_a_time(parts: AsyncIterator[str]) -> AsyncIterator[str]:
    async with _exports:
        async for part in parts:
            yield part
