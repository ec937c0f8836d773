"""Customers by phase."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.customers.answers import Customers, customer_answer
from services.api.customers.queries import CustomerPosition, list_customers
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, bad_cursor, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelPageParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import min_cell_of, reading_model, source_names

router = APIRouter(tags=["customers"], route_class=AnswerRoute)
cursors = CursorCodec("c", CustomerPosition)


class CustomersParameters(ModelPageParameters):
    """Which customers."""

    phase: str | None = Field(
        None, description="a phase's name, or unplaced; without it all customers in a phase", examples=["purchase"]
    )


@router.get("/v1/customers", responses=problem_responses(400, 403), summary="Customers in a phase")
async def get_customers(
    context: Context, token: Token, parameters: Annotated[CustomersParameters, Query()]
) -> AnswerResponse[Customers]:
    """Customers in a stable order; none where the workspace withholds small counts. One who changes phase meanwhile may
    show twice or never."""
    after = cursors.decode(parameters.cursor)
    is_withheld = await min_cell_of(context, token.workspace, parameters.model) is not None
    async with reading_model(context, "customers", token.workspace, parameters.model) as (connection, live):
        model = live.model
        if is_withheld:
            return AnswerResponse(Customers(model=model.name, items=[], withheld=True, next_cursor=None))
        phase = None
        if parameters.phase is not None:
            phase = phase_number(model, parameters.phase, "phase", or_unplaced=True)
        if after is not None and phase is not None and after.phase != phase:
            raise bad_cursor()
        rows = await list_customers(connection, live.generation.id, phase, after, parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    sources = await source_names(context, token.workspace)
    return AnswerResponse(
        Customers(
            model=model.name,
            items=[customer_answer(model, row, sources) for row in page],
            withheld=False,
            next_cursor=None if last is None else cursors.encode(last.position),
        )
    )
