"""Who brought whom."""

from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.journeys.queries import customer_of
from services.api.referrals.answers import (
    MAX_LISTED,
    CustomerReferrals,
    Referrals,
    customer_answer,
    referrals_answer,
)
from services.api.referrals.queries import (
    Claims,
    codes_of,
    read_everybody,
    read_money,
    read_network,
    read_people,
)
from services.api.shared.context import Context
from services.api.shared.days import SpanParameters, read_days, require_conversions
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelParameters
from services.api.shared.phase_names import phase_number
from services.api.shared.queries import CustomerFilter
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.referrals import Network
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["referrals"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])


class ReferralsParameters(SpanParameters):
    """Which referrals, and what a success is."""

    goal: str | None = Field(
        None,
        description="the phase by which a referral has succeeded; without it `purchase`, or the last one",
        examples=["purchase"],
    )


@router.get("/v1/referrals", responses=problem_responses(400, 403, 409), summary="Who brought whom")
async def get_referrals(
    context: Context, token: Token, parameters: Annotated[ReferralsParameters, Query()]
) -> AnswerResponse[Referrals]:
    """Customers who came in the span by a code that another one had shared, what became of them, and of those whom
    nobody referred. A customer is brought by the first code before its first order."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "referrals", token.workspace, parameters.model) as (connection, live):
        model, generation = live.model, live.generation.id
        goal = len(model.phases)
        if parameters.goal is not None:
            goal = phase_number(model, parameters.goal, "goal")
        elif "purchase" in {phase.name for phase in model.phases}:
            goal = model.phase_named("purchase").number
        days, _ = read_days(live, parameters)
        require_conversions(live)
        all_time, claims = _bounded(await read_network(connection, token.workspace, generation, model, customers))
        in_span = [each for each in all_time.referrals if days.from_us <= each.at_us < days.end_us]
        referred = [referral.customer for referral in in_span]
        people = await read_people(connection, generation, {*referred, *(referral.advocate for referral in in_span)})
        in_span = [each for each in in_span if each.customer in people and each.advocate in people]
        money = await read_money(connection, generation, referred)
        everybody = await read_everybody(connection, token.workspace, generation, model, days, customers, goal)
    links = {digest: f"/v1/customers/{quote(person.id, safe='')}/referrals" for digest, person in people.items()}
    return AnswerResponse(
        referrals_answer(live, days, goal, all_time, claims, in_span, people, money, everybody, links)
    )


@router.get(
    "/v1/customers/{customer:path}/referrals",
    responses=problem_responses(400, 403, 409, not_found="no such customer in this workspace"),
    summary="Who brought a customer, and whom it brought",
)
async def get_customer_referrals(
    context: Context, token: Token, customer: str, parameters: Annotated[ModelParameters, Query()]
) -> AnswerResponse[CustomerReferrals]:
    """By any id of the customer."""
    async with reading_model(context, "customer_referrals", token.workspace, parameters.model) as (connection, live):
        require_conversions(live)
        model, generation = live.model, live.generation.id
        digest = await customer_of(connection, token.workspace, id_digest(token.workspace, customer))
        network, _ = _bounded(await read_network(connection, token.workspace, generation, model, CustomerFilter()))
        brought = [referral.customer for referral in network.referrals if referral.advocate == digest]
        by = [referral.advocate for referral in network.referrals if referral.customer == digest]
        people = await read_people(connection, generation, {digest, *by, *brought[:MAX_LISTED]})
        if digest not in people:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        codes = await codes_of(connection, token.workspace, model, digest)
    return AnswerResponse(customer_answer(model, digest, codes, network, people))


def _bounded(answer: tuple[Network, Claims] | None) -> tuple[Network, Claims]:
    """What was read.

    Raises:
        ServiceError: 400 `invalid_parameter`: there are more codes, or customers with one, than one question reads.
    """
    if answer is None:
        raise ServiceError(
            400, "invalid_parameter", "the workspace has too many referral codes to be followed in one question"
        )
    return answer
