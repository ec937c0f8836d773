"""Customers by phase, and one customer's journey."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated
from services.api.journeys.answers import Customer, Reach, Touchpoints, journey_body, lapse_of, names_of, place
from services.api.journeys.queries import (
    customer_of,
    ids_of,
    journey_of,
    list_customers,
    touchpoints_of,
    transitions_of,
)
from services.api.shared.context import Readers
from services.api.shared.cursors import CustomerCursor, TouchpointCursor, bad_cursor, decode_cursor, encode_cursor
from services.api.shared.responses import Page, json_response
from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["customers"])

UNPLACED_NAME = "unplaced"


class CustomersPage(Page):
    """Which customers."""

    phase: str | None = Field(
        None, description="a phase's name, or unplaced; without it all customers in a phase", examples=["purchase"]
    )


class JourneyPage(Page):
    """Whose journey, and which of its touchpoints."""

    customer: str = Field(
        min_length=1, description="the customer's id, or any id linked to it: any string", examples=["user-1"]
    )


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
    after = None if page.cursor is None else decode_cursor(CustomerCursor, page.cursor)
    async with readers.reading("customers", reader.workspace, page.model) as (connection, applied):
        model = applied.model
        phase = _phase_number(model, page.phase)
        if after is not None and phase is not None and after.phase != phase:
            raise bad_cursor()
        rows = await list_customers(connection, applied.id, phase, after, page.limit + 1)
    sources = await readers.source_names(reader.workspace)
    names = names_of(model)
    last = rows[page.limit - 1] if len(rows) > page.limit else None
    return json_response(
        {
            "model": model.name,
            "items": [
                {
                    "customer": row.id,
                    **place(row.journey, names),
                    "activity": "lapsed" if row.journey.lapsed_us else "active",
                    "lapsed_at": rfc3339(row.journey.lapsed_us) if row.journey.lapsed_us else None,
                    "lapse": lapse_of(row.journey),
                    "first_seen": rfc3339(row.journey.first_us),
                    "last_seen": rfc3339(row.journey.last_us),
                    "source": sources.get(row.journey.source),
                    "channel": row.journey.channel,
                }
                for row in rows[: page.limit]
            ],
            "next_cursor": None if last is None else encode_cursor(CustomerCursor(last.journey.phase, last.customer)),
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
    return await _journey(readers, reader.workspace, page.customer, page)


@router.get(
    "/v1/customers/{customer:path}/journey",
    response_model=schemas.Journey,
    responses=schemas.responses(400, 404),
    summary="A customer's journey",
)
async def get_customer_journey(
    readers: AllReaders, reader: Authenticated, customer: str, page: Annotated[Page, Query()]
) -> Response:
    """Where the customer stands and why: every transition with its cause, and the touchpoints of all its ids, newest
    first. Any id that is linked to the customer will do."""
    return await _journey(readers, reader.workspace, customer, page)


async def _journey(readers: Readers, workspace: int, asked: str, page: Page) -> Response:
    after = None if page.cursor is None else decode_cursor(TouchpointCursor, page.cursor)
    async with readers.reading("journey", workspace, page.model) as (connection, applied):
        digest = await customer_of(connection, workspace, id_digest(workspace, asked))
        found = await journey_of(connection, applied.id, digest)
        if found is None:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        name, journey = found
        ids = await ids_of(connection, workspace, digest)
        customer = Customer(name, digest, journey, await transitions_of(connection, applied.id, digest), ids)
        actors = {digest: name, **{row.id: row.name for row in ids}}
        rows = await touchpoints_of(connection, actors, after, page.limit + 1)
    return json_response(
        journey_body(
            applied.model,
            customer,
            Touchpoints(rows[: page.limit], len(rows) > page.limit),
            Reach(applied.workspace.applied_watermark_us, applied.workspace.retention_cutoff_us),
            sources=await readers.source_names(workspace),
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
