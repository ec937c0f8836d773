"""Customers by the beginning of an id."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.search.answers import Suggestions, suggestion
from services.api.search.queries import MAX_IDS, match_ids, read_customers
from services.api.search.text import key_ranges
from services.api.shared.context import Context
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import TEXT, ModelParameters
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL

router = APIRouter(tags=["customers"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])

MAX_SUGGESTIONS = 20
MAX_TEXT = 1_000
"""Maximum number of characters of a text with the space around it; no id is as long."""


class SearchParameters(ModelParameters):
    """What somebody has typed."""

    text: str = Field(
        pattern=TEXT,
        max_length=MAX_TEXT,
        description="how an id begins, in any case; space around it does not count, and an empty text finds nobody",
        examples=["ada@"],
    )
    limit: int = Field(8, ge=1, le=MAX_SUGGESTIONS, description="Maximum number of customers")


@router.get("/v1/customers/search", responses=problem_responses(400, 403), summary="Customers by how an id begins")
async def get_customers_search(
    context: Context, token: Token, parameters: Annotated[SearchParameters, Query()]
) -> AnswerResponse[Suggestions]:
    """The first customers with an id that begins like a text: any of their ids, each customer once. An e-mail address
    is found where it is an id. Whoever is to be erased is not found."""
    ranges, limit = key_ranges(parameters.text), parameters.limit
    async with reading_model(context, "search", token.workspace, parameters.model) as (connection, live):
        matches = await match_ids(connection, token.workspace, ranges) if ranges else []
        first: dict[bytes, str] = {}
        for match in matches:
            first.setdefault(match.customer, match.name)
        # As many again as are shown, since some of them may not be.
        candidates = list(first)[: 2 * limit]
        rows = await read_customers(connection, token.workspace, live.generation.id, candidates)
    shown = [(rows[digest], first[digest]) for digest in candidates if digest in rows]
    return AnswerResponse(
        Suggestions(
            model=live.model.name,
            items=[suggestion(live.model, row, matched) for row, matched in shown[:limit]],
            has_more=len(shown) > limit or len(first) > len(candidates) or len(matches) == MAX_IDS,
        )
    )
