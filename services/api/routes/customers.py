"""Customers by phase, and one customer's journey."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated
from services.api.cursors import CustomerCursor, TouchpointCursor, bad_cursor, decode_cursor, encode_cursor
from services.api.journey_view import journey_body, names_of
from services.api.queries_journey import as_of_us, journey_of, list_customers, touchpoints_of, transitions_of
from services.api.readers import Reader, Readers
from services.api.routes.answers import json_response
from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["customers"])

UNPLACED_NAME = "unplaced"


class Page(BaseModel):
    """Which part of a list."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(50, ge=1, le=200, description="how many items at most")
    cursor: str | None = Field(None, description="the next_cursor of the page before")


class CustomersPage(Page):
    """Which customers."""

    phase: str | None = Field(
        None, description="a phase's name, or unplaced; without it all customers in a phase", examples=["purchase"]
    )


class JourneyPage(Page):
    """Whose journey, and which of its touchpoints."""

    customer: str = Field(min_length=1, description="the customer's id, any string", examples=["user-1"])


@router.get(
    "/v1/customers",
    response_model=schemas.Customers,
    responses=schemas.responses(400),
    summary="Customers in a phase",
)
async def get_customers(
    readers: AllReaders, reader: Authenticated, page: Annotated[CustomersPage, Query()]
) -> Response:
    """Customers in a stable order. One who changes phase meanwhile may show twice or never."""
    model = reader.model
    phase = _phase_number(model, page.phase)
    after = None if page.cursor is None else decode_cursor(CustomerCursor, page.cursor)
    if after is not None and phase is not None and after.phase != phase:
        raise bad_cursor()
    async with readers.database.reading("customers") as connection:
        rows = await list_customers(connection, reader.model_id, phase, after, page.limit + 1)
    sources = {source.id: source.name for source in await readers.sources.get(reader.workspace)}
    names = names_of(model)
    last = rows[page.limit - 1] if len(rows) > page.limit else None
    return json_response(
        {
            "items": [
                {
                    "customer": row.id,
                    "phase": names[row.phase],
                    "entered_at": None if row.phase == UNPLACED else rfc3339(row.entered_us),
                    "first_seen": rfc3339(row.first_us),
                    "last_seen": rfc3339(row.last_us),
                    "highest_phase": names[row.highest_phase],
                    "source": sources.get(row.source),
                    "channel": row.channel,
                }
                for row in rows[: page.limit]
            ],
            "next_cursor": None if last is None else encode_cursor(CustomerCursor(last.phase, last.customer)),
        }
    )


@router.get(
    "/v1/journey",
    response_model=schemas.Journey,
    responses=schemas.responses(400, 404),
    summary="A customer's journey, for any id",
)
async def get_journey(readers: AllReaders, reader: Authenticated, page: Annotated[JourneyPage, Query()]) -> Response:
    """As /v1/customers/{id}/journey, for ids that a path cannot carry: an id can be any string."""
    return await _journey(readers, reader, page.customer, page)


@router.get(
    "/v1/customers/{customer:path}/journey",
    response_model=schemas.Journey,
    responses=schemas.responses(400, 404),
    summary="A customer's journey",
)
async def get_customer_journey(
    readers: AllReaders, reader: Authenticated, customer: str, page: Annotated[Page, Query()]
) -> Response:
    """Where the customer stands, every transition with its cause, and the touchpoints newest first."""
    return await _journey(readers, reader, customer, page)


async def _journey(readers: Readers, reader: Reader, customer: str, page: Page) -> Response:
    after = None if page.cursor is None else decode_cursor(TouchpointCursor, page.cursor)
    digest = id_digest(reader.workspace, customer)
    async with readers.database.reading("journey", one_snapshot=True) as connection:
        journey = await journey_of(connection, reader.model_id, digest)
        if journey is None:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        transitions = await transitions_of(connection, reader.model_id, digest)
        touchpoints = await touchpoints_of(connection, digest, after, page.limit + 1)
        through_us = await as_of_us(connection, readers.topic)
    sources = {source.id: source.name for source in await readers.sources.get(reader.workspace)}
    return json_response(
        journey_body(
            reader.model,
            journey,
            transitions,
            touchpoints,
            sources=sources,
            as_of_us=through_us,
            limit=page.limit,
        )
    )


def _phase_number(model: Model, name: str | None) -> int | None:
    if name is None:
        return None
    if name == UNPLACED_NAME:
        return UNPLACED
    try:
        return model.phase_named(name).number
    except KeyError:
        names = ", ".join([*(phase.name for phase in model.phases), UNPLACED_NAME])
        raise ServiceError(
            400, "unknown_phase", f"{model.name} has no phase {name!r}; there are: {names}", field="phase"
        ) from None
