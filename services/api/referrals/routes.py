"""Who brought whom."""

from collections.abc import Collection, Mapping
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.auth import Token
from services.api.funnel.question import Window
from services.api.journeys.queries import customer_of
from services.api.referrals.answers import (
    MAX_LISTED,
    CustomerReferrals,
    ReferralList,
    Referrals,
    customer_answer,
    is_reached,
    list_answer,
    referrals_answer,
)
from services.api.referrals.queries import (
    Claims,
    Person,
    ReferralPosition,
    codes_of,
    read_everybody,
    read_money,
    read_network,
    read_people,
)
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import Days, SpanParameters, read_days, require_conversions
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelParameters, PageParameters
from services.api.shared.phase_names import phase_name, phase_number
from services.api.shared.queries import CustomerFilter
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, reading_model
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.funnel import WINDOWS_US
from throughline.analytics.referrals import Arrival, Network, Referral
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.digest import id_digest

router = APIRouter(tags=["referrals"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("e", ReferralPosition)


class ReferralsParameters(SpanParameters):
    """Which referrals, and what a success is."""

    goal: str | None = Field(
        None,
        description="the phase by which a referral has succeeded; without it `purchase`, or the last one",
        examples=["purchase"],
    )
    window: Window = Field("30d", description="the time after a customer came within which the goal counts for k")


Number = Literal[
    "referred", "advocates", "reached", "first_seen", "ordered", "unclaimed", "self_referred", "rings",
    "contested_codes",
]  # fmt: skip
"""A number of referrals."""


class ReferralListParameters(ReferralsParameters, PageParameters):
    """Which number of referrals."""

    number: Number = Field(
        "referred",
        description="advocates: the first referral of each; reached: in time for k; first_seen: in the span; ordered: "
        "have orders; of all time: unclaimed, self_referred, rings, contested_codes (who shared a code first after the "
        "one who has it)",
    )
    phase: str | None = Field(None, description="only customers who stand there now", examples=["purchase"])
    advocate: str | None = Field(
        None, min_length=1, description="only whom the customer with this id brought", examples=["ada"]
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
        goal = _goal(model, parameters.goal)
        days, now_us = read_days(live, parameters)
        require_conversions(live)
        all_time, claims = _bounded(await read_network(connection, token.workspace, generation, model, customers))
        in_span = [each for each in all_time.referrals if days.from_us <= each.at_us < days.end_us]
        referred = [referral.customer for referral in in_span]
        named = {*referred, *(referral.advocate for referral in in_span)}
        people = await read_people(connection, generation, named, goal)
        in_span = [each for each in in_span if each.customer in people and each.advocate in people]
        money = await read_money(connection, generation, referred)
        everybody = await read_everybody(connection, token.workspace, generation, model, days, customers, goal, now_us)
    window = (parameters.window, _window_us(parameters.window))
    phases = {people[each.customer].phase for each in in_span}

    def links(advocate: str | None) -> dict[str, str]:
        return _links(live, days, parameters, () if advocate else phases, advocate)

    return AnswerResponse(
        referrals_answer(live, days, goal, all_time, claims, in_span, people, money, everybody, window, now_us, links)
    )


@router.get("/v1/referrals/customers", responses=problem_responses(400, 403, 409), summary="Referrals behind a number")
async def get_referral_list(
    context: Context, token: Token, parameters: Annotated[ReferralListParameters, Query()]
) -> AnswerResponse[ReferralList]:
    """Exactly those that referrals count for the same parameters, by time."""
    after = cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "referral_list", token.workspace, parameters.model) as (connection, live):
        model, generation = live.model, live.generation.id
        goal = _goal(model, parameters.goal)
        phase = None if parameters.phase is None else phase_number(model, parameters.phase, "phase", or_unplaced=True)
        days, now_us = read_days(live, parameters)
        require_conversions(live)
        network, claims = _bounded(await read_network(connection, token.workspace, generation, model, customers))
        window_us = _window_us(parameters.window)
        rows: list[Arrival | Referral] = []
        people: Mapping[bytes, Person] = {}
        if parameters.number in ("unclaimed", "self_referred", "rings"):
            void: list[Arrival] = getattr(network, parameters.number)
            rows = [*void]
            people = await read_people(connection, generation, {row.customer for row in void}, goal)
        elif parameters.number == "contested_codes":
            shared_too = claims.contested
            named = {digest for each in shared_too for digest in (each.customer, each.advocate)}
            people = await read_people(connection, generation, named, goal)
            rows = [each for each in shared_too if each.advocate in people]
        else:
            in_span = [each for each in network.referrals if days.from_us <= each.at_us < days.end_us]
            if parameters.advocate is not None:
                advocate = await customer_of(
                    connection, token.workspace, id_digest(token.workspace, parameters.advocate)
                )
                in_span = [each for each in in_span if each.advocate == advocate]
            named = {digest for each in in_span for digest in (each.customer, each.advocate)}
            people = await read_people(connection, generation, named, goal)
            in_span = [each for each in in_span if each.customer in people and each.advocate in people]
            if parameters.number == "advocates":
                firsts = {each.advocate: each for each in reversed(in_span)}
                in_span = [each for each in in_span if firsts[each.advocate] is each]
            longest_us = now_us if window_us is None else window_us
            rows = [
                each
                for each in in_span
                if _is_counted(parameters.number, each, people[each.customer], days.from_us, longest_us)
            ]
    rows = [row for row in rows if row.customer in people and phase in (None, people[row.customer].phase)]
    rows = [row for row in rows if after is None or (row.at_us, row.customer, row.code) > after]
    page, last = split_page(rows, parameters.limit)
    next_cursor = None if last is None else cursors.encode(ReferralPosition(last.at_us, last.customer, last.code))
    return AnswerResponse(list_answer(live, parameters.number, page, people, next_cursor))


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
        named = {digest, *by, *brought[:MAX_LISTED]}
        people = await read_people(connection, generation, named, _goal(model, None))
        if digest not in people:
            raise ServiceError(404, "unknown_customer", "no touchpoint of this customer has arrived in this workspace")
        codes = await codes_of(connection, token.workspace, model, digest)
    return AnswerResponse(customer_answer(model, digest, codes, network, people))


def _goal(model: Model, name: str | None) -> int:
    """The number of the phase by which a referral has succeeded.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such phase.
    """
    if name is not None:
        return phase_number(model, name, "goal")
    if "purchase" in {phase.name for phase in model.phases}:
        return model.phase_named("purchase").number
    return len(model.phases)


def _is_counted(number: Number, referral: Referral, person: Person, from_us: int, window_us: int) -> bool:
    """Whether a number counts a referral of the span."""
    if number == "reached":
        return is_reached(referral, person, window_us)
    if number == "first_seen":
        return person.first_us >= from_us
    return number != "ordered" or person.orders > 0


def _window_us(window: Window) -> int | None:
    return None if window == "none" else WINDOWS_US[window]


def _links(
    live: LiveModel, days: Days, parameters: ReferralsParameters, phases: Collection[int], advocate: str | None
) -> dict[str, str]:
    """Links to the lists of the numbers, and of the phases, of one advocate or of all."""
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    question = {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}
    of_advocate = question | {"goal": parameters.goal, "window": parameters.window, "advocate": advocate}
    path = "/v1/referrals/customers"
    links = {number: lists.path(path, {**of_advocate, "number": number}) for number in get_args(Number)}
    for phase in sorted(phases):
        name = phase_name(live.model, phase)
        links[f"phases.{name}"] = lists.path(path, {**of_advocate, "number": "referred", "phase": name})
    return links | {"invites": lists.path("/v1/voice/reach/customers", {**question, "what": "invites"})}


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
