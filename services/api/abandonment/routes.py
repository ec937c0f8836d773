"""Where customers leave, when, after what and with which friction."""

from collections.abc import Callable, Mapping, Sequence
from datetime import tzinfo
from itertools import pairwise
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field

from services.api.abandonment.answers import (
    LONGEST_DAY_US,
    UNMAPPED,
    Abandonment,
    AbandonmentByPhase,
    AbandonmentPart,
    AbandonmentPhase,
    BaselineName,
    Friction,
    LastTouchpoints,
    Link,
    StaysInPhase,
    VisitCount,
    VisitList,
    VisitPart,
    Visits,
    abandonment_answer,
    friction_answer,
    last_answer,
    list_answer,
    stays_answer,
    visit_count,
    visit_list_answer,
    visits_answer,
)
from services.api.abandonment.queries import EndFilter, Number, Position, StayFilter, list_ends, list_stays, read_ends
from services.api.asked.queries import VISIT_US, KindTable, kind_table
from services.api.auth import Token
from services.api.funnel.breakdown import (
    BY_DESCRIPTION,
    By,
    ValueParameters,
    filter_of,
    largest,
    others_of,
    read_counts,
    require_trails_of,
    value_filter,
)
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.days import Days, SpanParameters, of_days, read_days, require_trails
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import MAX_NAME, TEXT, PageParameters, parse_optional_instant
from services.api.shared.parameters import MAX_VALUES as MAX_LISTED
from services.api.shared.phase_names import phase_number
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import LiveModel, customer_filter, reading_model
from services.api.visits.queries import (
    AFTER_US,
    AT_PHASE,
    BEYOND,
    FRICTION,
    MAX_FRICTIONS,
    MAX_STRATA,
    VisitDimension,
    VisitFilter,
    VisitPosition,
    VisitQuestion,
    VisitsByValue,
    count_visits,
    list_visits,
    read_visits,
    strata_of,
)
from services.api.withheld import REQUIRE_NO_MIN_CELL
from throughline.analytics.abandonment import (
    Against,
    Stays,
    against,
    against_others,
    bins_of,
    stays,
    ways_of,
    window_of,
)
from throughline.analytics.funnel import WINDOWS_US, Count
from throughline.journey.durations import HOUR_US
from throughline.journey.funnel import CYCLE, EDGES_US
from throughline.journey.model import Kind, Model
from throughline.journey.rollup import Days as LocalDays
from throughline.journey.trail import UNKNOWN
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.admission import OTHER

router = APIRouter(tags=["abandonment"], route_class=AnswerRoute, dependencies=[REQUIRE_NO_MIN_CELL])
cursors = CursorCodec("a", Position)
visit_cursors = CursorCodec("b", VisitPosition)


VisitOutcome = Literal["all", "advanced"]


class PhaseParameters(SpanParameters):
    """Which stays."""

    phase: str = Field(description="the phase in which customers lapse", examples=["decision"])


class AbandonmentParameters(PhaseParameters):
    """How to divide and compare the stays."""

    window: str | None = Field(
        None,
        description="the time from the entry within which a lapse counts in the rate: a window of funnels longer than "
        "that of the phase, or none; without it the shortest such one",
        examples=["14d"],
    )
    by: By | None = Field(None, description=BY_DESCRIPTION)
    baseline: BaselineName = Field(
        "others", description="compare each part with all others, or all and each part with as many days before"
    )


class FrictionParameters(PhaseParameters):
    """Which visits."""

    kind: str | None = Field(
        None,
        description="visits with a touchpoint of this kind; without it of any kind that leads to the phase",
        examples=["checkout"],
    )


class VisitKindsParameters(SpanParameters):
    """Which visits, and what going on is."""

    kind: str = Field(description="visits with a touchpoint of this kind", examples=["checkout"])
    next: str = Field(description="the kind to which they go on", examples=["order"])
    by: VisitDimension | None = Field(
        None, description="divide by a fact of the visit: the channel of its first touchpoint, its campaign or device"
    )


class VisitsParameters(VisitKindsParameters):
    """How to divide and compare visits."""

    baseline: BaselineName = Field(
        "others", description="compare each part with all others, or all and each part with as many days before"
    )


class VisitListParameters(VisitKindsParameters, PageParameters):
    """Which number of visits."""

    value: list[Annotated[str, Field(pattern=TEXT, max_length=MAX_NAME)]] = Field(
        [], max_length=MAX_LISTED, description="of the dimension in `by`; repeated: any of these", examples=[["mobile"]]
    )
    other: bool = Field(False, description="under none of these values: the row `(other)`")
    outcome: VisitOutcome = Field("all", description="all, or those that went on in the visit")


class FrictionListParameters(FrictionParameters, PageParameters):
    """Which number of a friction."""

    friction: str | None = Field(
        None, description="visits with this event of friction: the `name` of a row", examples=["paymenterror"]
    )
    without: bool = Field(False, description="visits without it")
    outcome: VisitOutcome = Field("all", description="all, or those that went on beyond the phase within a day")


class LastListParameters(PhaseParameters, PageParameters):
    """Which number of last touchpoints."""

    outcome: Literal["lapsed", "advanced"] = Field("lapsed", description="how the stay ended")
    kind: str | None = Field(
        None, description="with this kind among the last three touchpoints", examples=["checkout_error"]
    )
    place: str | None = Field(None, description="whose last touchpoint is of this kind", examples=["checkout"])
    day: str | None = Field(None, description="whose last touchpoint was on the day of this instant")


class AbandonmentCustomersParameters(PhaseParameters, ValueParameters, PageParameters):
    """Which number of abandonment."""

    outcome: Number = Field(
        "lapsed",
        description="how the stay ended; entered: all of them; mature, lapsed_within: those of the rate; at_risk: "
        "those whose whole bin of age has been seen, and that had not ended before it",
    )
    next: str | None = Field(None, description="advanced: to this phase", examples=["purchase"])
    window: str | None = Field(None, description="mature, lapsed_within: as of /v1/abandonment", examples=["14d"])
    age: float | None = Field(
        None, description="at_risk: the `from_seconds` of a bin of /v1/funnel/time", examples=[3600.0]
    )


@router.get("/v1/abandonment", responses=problem_responses(400, 403, 409), summary="Where customers leave")
async def get_abandonment(
    context: Context, token: Token, parameters: Annotated[AbandonmentParameters, Query()]
) -> AnswerResponse[Abandonment]:
    """Of those who came to the phase in the span, how many lapsed there, by a dimension and against a baseline. In each
    row `entered = advanced + lapsed + ended + still`; the parts add up to the total."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        window = _window(live.model, phase, parameters.window)
        window_us = None if window is None else WINDOWS_US[window]
        days, now_us = read_days(live, parameters)
        spans = [days.by_maturity(now_us, window_us)]
        if parameters.baseline == "previous":
            spans.append(days.before(live.zone).by_maturity(now_us, window_us))
        bins, ways = bins_of(window_us), ways_of(phase, len(live.model.phases))
        of_spans: list[Mapping[int | str | None, list[Count]]] = []
        for span in spans:
            # A baseline is told apart by the values of the span itself.
            apart = [value for value in of_spans[0] if isinstance(value, str) and value != OTHER] if of_spans else None
            of_spans.append(
                await read_counts(connection, live, CYCLE, phase, span, customers, parameters.by, bins, apart, ways)
            )
    seen = [span.seen_until(now_us) for span in spans]
    totals = [
        stays([count for counts in by_value.values() for count in counts], span, phase, window_us)
        for by_value, span in zip(of_spans, seen, strict=True)
    ]
    total, before = totals[0], totals[1] if len(totals) > 1 else None
    links = _stay_links(live, parameters, phase)
    earlier = days.before(live.zone)
    parts: list[AbandonmentPart] = []
    if parameters.by is not None:
        values = await largest(context, token.workspace, parameters.by, of_spans[0])
        shown = [value for value, _ in values]
        named_before = dict(await largest(context, token.workspace, parameters.by, of_spans[-1], shown))
        for value, counts in values:
            part = stays(counts, seen[0], phase, window_us)
            of_value = filter_of(parameters.by, value, shown)
            if before is None:
                others = others_of(parameters.by, value, shown)
                baseline = (against_others(part, total), None if others is None else links(days, others))
            else:
                same = stays(named_before.get(value, []), seen[1], phase, window_us)
                baseline = _against(part, same), links(earlier, of_value)
            parts.append(
                AbandonmentPart(value, stays_answer(live.model, part, links(days, of_value), window, baseline))
            )
    of_total = None if before is None else (_against(total, before), links(earlier, {}))
    return AnswerResponse(
        abandonment_answer(
            live,
            days,
            phase,
            window=window,
            baseline=parameters.baseline,
            total=stays_answer(live.model, total, links(days, {}), window, of_total),
            breakdown=parts,
        )
    )


@router.get("/v1/abandonment/phases", responses=problem_responses(400, 403, 409), summary="Where, by phase")
async def get_abandonment_phases(
    context: Context, token: Token, parameters: Annotated[SpanParameters, Query()]
) -> AnswerResponse[AbandonmentByPhase]:
    """What `/v1/abandonment` answers in total for each phase of the model, read at once."""
    customers = await customer_filter(context, token.workspace, parameters)
    of_phases: list[AbandonmentPhase] = []
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        for phase in live.model.phases:
            window, links = window_of(phase.window_us), _stay_links(live, parameters, phase.number)
            window_us = None if window is None else WINDOWS_US[window]
            span, bins = days.by_maturity(now_us, window_us), bins_of(window_us)
            ways = ways_of(phase.number, len(live.model.phases))
            by_value = await read_counts(connection, live, CYCLE, phase.number, span, customers, None, bins, ways=ways)
            counts = [count for counts in by_value.values() for count in counts]
            total = stays(counts, span.seen_until(now_us), phase.number, window_us)
            of_phases.append(
                AbandonmentPhase(phase.name, window, stays_answer(live.model, total, links(days, {}), window, None))
            )
    return AnswerResponse(AbandonmentByPhase(**of_days(live, days), phases=of_phases))


@router.get("/v1/abandonment/visits", responses=problem_responses(400, 403, 409), summary="Which visits go on")
async def get_abandonment_visits(
    context: Context, token: Token, parameters: Annotated[VisitsParameters, Query()]
) -> AnswerResponse[Visits]:
    """Of the visits with a kind of touchpoint, how many have the next kind too, in whatever order. A visit ends with
    half an hour of silence; who bought on another day did not go on in this one."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        table = _kinds_of_visits(live.model, parameters)
        spans = [days, *([days.before(live.zone)] if parameters.baseline == "previous" else [])]
        of_spans: list[list[VisitsByValue]] = []
        for span in spans:
            question = VisitQuestion(
                token.workspace, live.generation.id, span, customers, table, mature_until_us=now_us - VISIT_US
            )
            values = [row.value for row in of_spans[0]] if of_spans else None
            of_spans.append(await count_visits(connection, question, parameters.by, values))
    totals = [(sum(row.number for row in rows), sum(row.advanced for row in rows)) for rows in of_spans]
    visits, advanced = totals[0]
    earlier = {row.value: (row.number, row.advanced) for row in of_spans[-1]}
    has_before = len(of_spans) > 1
    names = [row.value for row in of_spans[0]]
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    kinds = {"kind": parameters.kind, "next": parameters.next}

    def path(span: Days, value: str | None, *, is_other: bool = False) -> str | None:
        """The list of the visits with a value (None: with any), or with any other."""
        which: dict[str, str | Sequence[str]] = {}
        if value is not None:
            is_rest = is_other is (value != OTHER)
            which = {"by": parameters.by or "", "value": [value]}
            if value == OTHER:
                which["value"] = [name for name in names if name != OTHER]
            if is_rest:
                which["other"] = "true"
            elif not which["value"]:
                return None
        return lists.path("/v1/abandonment/visits/list", {**kinds, **_span_of(span), **which})

    def count(row: VisitsByValue) -> VisitCount:
        """One row of the breakdown."""
        others = (visits - row.number, advanced - row.advanced, path(days, row.value, is_other=True))
        same = (*earlier.get(row.value, (0, 0)), path(spans[-1], row.value))
        return visit_count(row.number, row.advanced, path(days, row.value) or "", same if has_before else others)

    breakdown = [VisitPart(row.value, count(row)) for row in (of_spans[0] if parameters.by is not None else ())]
    return AnswerResponse(
        visits_answer(
            live,
            days,
            (parameters.kind, parameters.next),
            parameters.baseline,
            visit_count(
                visits, advanced, path(days, None) or "", (*totals[1], path(spans[-1], None)) if has_before else None
            ),
            breakdown,
        )
    )


@router.get("/v1/abandonment/visits/list", responses=problem_responses(400, 403, 409), summary="Visits behind a number")
async def get_abandonment_visits_list(
    context: Context, token: Token, parameters: Annotated[VisitListParameters, Query()]
) -> AnswerResponse[VisitList]:
    """Exactly those that /v1/abandonment/visits counts for the same parameters, in a stable order."""
    after = visit_cursors.decode(parameters.cursor)
    if (parameters.by is None) != (not parameters.value and not parameters.other):
        raise ServiceError(400, "invalid_parameter", "value: by and value go together", field="value")
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        days, now_us = read_days(live, parameters)
        table = _kinds_of_visits(live.model, parameters)
        question = VisitQuestion(
            token.workspace, live.generation.id, days, customers, table, mature_until_us=now_us - VISIT_US
        )
        which = VisitFilter(
            parameters.by,
            tuple(sorted(set(parameters.value))),
            is_other=parameters.other,
            has_advanced=parameters.outcome == "advanced",
        )
        rows = await list_visits(connection, question, which, after=after, count=parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    cursor = None if last is None else visit_cursors.encode(last.position)
    return AnswerResponse(visit_list_answer(live.model.name, page, cursor))


@router.get("/v1/abandonment/last", responses=problem_responses(400, 403, 409), summary="When, where, after what")
async def get_abandonment_last(
    context: Context, token: Token, parameters: Annotated[PhaseParameters, Query()]
) -> AnswerResponse[LastTouchpoints]:
    """The last touchpoints of those who lapsed, against what came just before the others went on. A kind that is
    merely common is common before both."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, now_us = read_days(live, parameters)
        alike = days.alike(now_us)
        require_trails(live)
        ways = ways_of(phase, len(live.model.phases))
        counts = await read_counts(connection, live, CYCLE, phase, alike, customers, ways=ways)
        ends = await read_ends(connection, live.generation.id, phase, days, customers, live.workspace.time_zone)
    lapsed = stays(counts.get(None, []), alike.seen_until(now_us), phase, None).lapsed
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    question = {"phase": parameters.phase, **_span_of(days)}
    return AnswerResponse(
        last_answer(
            live,
            days,
            phase,
            lapsed,
            ends,
            now_us,
            customers=lists.path("/v1/abandonment/customers", question),
            list_path=lists.path("/v1/abandonment/last/list", question),
        )
    )


@router.get("/v1/abandonment/last/list", responses=problem_responses(400, 403, 409), summary="Stays by how they ended")
async def get_abandonment_last_list(
    context: Context, token: Token, parameters: Annotated[LastListParameters, Query()]
) -> AnswerResponse[StaysInPhase]:
    """Exactly those that /v1/abandonment/last counts for the same parameters, in a stable order."""
    after = cursors.decode(parameters.cursor)
    day_us = parse_optional_instant(parameters.day, "day")
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment_customers", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, _ = read_days(live, parameters)
        require_trails(live)
        rows = await list_ends(
            connection,
            live.generation.id,
            phase,
            days,
            customers,
            EndFilter(
                parameters.outcome,
                _stored_kind(live.model, parameters.kind, "kind"),
                _stored_kind(live.model, parameters.place, "place"),
                None if day_us is None else _day_of(day_us, live.zone),
            ),
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(list_answer(live.model.name, page, None if last is None else cursors.encode(last.position)))


@router.get("/v1/abandonment/friction", responses=problem_responses(400, 403, 409), summary="With which friction")
async def get_abandonment_friction(
    context: Context, token: Token, parameters: Annotated[FrictionParameters, Query()]
) -> AnswerResponse[Friction]:
    """Visits that came to the phase, with a friction and without it, and how many went on beyond the phase within a
    day: compared within a week, a channel and a device. It says what went together, never what caused what."""
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, now_us = read_days(live, parameters)
        names = _frictions(live.model)
        question = VisitQuestion(
            token.workspace,
            live.generation.id,
            days,
            customers,
            _kinds(live.model, phase, parameters.kind, names),
            mature_until_us=now_us - AFTER_US,
        )
        visits = await read_visits(connection, question, live.zone)
    if len(visits) > MAX_STRATA:
        raise ServiceError(
            400, "invalid_parameter", "from: there is too much in this span; ask for fewer days", field="from"
        )
    return AnswerResponse(
        friction_answer(
            live,
            days,
            phase,
            kind=parameters.kind,
            visits=(sum(group.number for group in visits), sum(group.advanced for group in visits)),
            frictions={
                name: strata_of(visits, bit)
                for bit, name in enumerate(names)
                if any(group.frictions & 1 << bit for group in visits)
            },
            list_path=ListLinks(live.model.name, parameters.source, parameters.channel).path(
                "/v1/abandonment/friction/list",
                {"phase": parameters.phase, "kind": parameters.kind, **_span_of(days)},
            ),
        )
    )


@router.get(
    "/v1/abandonment/friction/list", responses=problem_responses(400, 403, 409), summary="Visits behind a friction"
)
async def get_abandonment_friction_list(
    context: Context, token: Token, parameters: Annotated[FrictionListParameters, Query()]
) -> AnswerResponse[VisitList]:
    """Exactly those that /v1/abandonment/friction counts for the same parameters, in a stable order."""
    after = visit_cursors.decode(parameters.cursor)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment", token.workspace, parameters.model) as (connection, live):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, now_us = read_days(live, parameters)
        names = _frictions(live.model)
        bits = {name: bit for bit, (_, name) in enumerate(names)}
        if parameters.friction is not None and parameters.friction not in bits:
            raise ServiceError(
                400,
                "invalid_parameter",
                f"friction: {live.model.name} has no friction {parameters.friction[:100]!r}; "
                "rows of /v1/abandonment/friction have them as `name`",
                field="friction",
            )
        question = VisitQuestion(
            token.workspace,
            live.generation.id,
            days,
            customers,
            _kinds(live.model, phase, parameters.kind, names),
            mature_until_us=now_us - AFTER_US,
        )
        which = VisitFilter(
            friction=None if parameters.friction is None else bits[parameters.friction],
            has_friction=not parameters.without,
            has_advanced=parameters.outcome == "advanced",
            within_visit=False,
        )
        rows = await list_visits(connection, question, which, after=after, count=parameters.limit + 1)
    page, last = split_page(rows, parameters.limit)
    cursor = None if last is None else visit_cursors.encode(last.position)
    return AnswerResponse(visit_list_answer(live.model.name, page, cursor))


@router.get("/v1/abandonment/customers", responses=problem_responses(400, 403, 409), summary="Stays behind a number")
async def get_abandonment_customers(
    context: Context, token: Token, parameters: Annotated[AbandonmentCustomersParameters, Query()]
) -> AnswerResponse[StaysInPhase]:
    """Exactly those whom abandonment counts for the same parameters, in a stable order: a customer comes once for each
    cycle."""
    after = cursors.decode(parameters.cursor)
    valued = await value_filter(context, token.workspace, parameters)
    customers = await customer_filter(context, token.workspace, parameters)
    async with reading_model(context, "abandonment_customers", token.workspace, parameters.model) as (
        connection,
        live,
    ):
        phase = phase_number(live.model, parameters.phase, "phase")
        days, now_us = read_days(live, parameters)
        require_trails_of(live, None if valued is None else valued.opening)
        rows = await list_stays(
            connection,
            live.generation.id,
            phase,
            days,
            customers,
            _stay_filter(live.model, parameters, phase, days, now_us),
            valued=valued,
            after=after,
            count=parameters.limit + 1,
        )
    page, last = split_page(rows, parameters.limit)
    return AnswerResponse(list_answer(live.model.name, page, None if last is None else cursors.encode(last.position)))


def _stay_filter(
    model: Model, parameters: AbandonmentCustomersParameters, phase: int, days: Days, now_us: int
) -> StayFilter:
    """Which stays a list has.

    Raises:
        ServiceError: 400 `invalid_parameter` or `unknown_phase`.
    """
    number = parameters.outcome
    for name, value, numbers in (
        ("next", parameters.next, ("advanced",)),
        ("window", parameters.window, ("mature", "lapsed_within")),
        ("age", parameters.age, ("at_risk",)),
    ):
        if value is not None and number not in numbers:
            raise ServiceError(
                400, "invalid_parameter", f"{name}: goes with outcome={' or '.join(numbers)} only", field=name
            )
    if number == "at_risk":
        bins = {start_us / 1e6: (start_us, end_us) for start_us, end_us in pairwise(EDGES_US)}
        if parameters.age not in bins:
            raise ServiceError(
                400,
                "invalid_parameter",
                "age: outcome=at_risk needs the start of a bin of age in seconds, `from_seconds` of /v1/funnel/time",
                field="age",
            )
        start_us, end_us = bins[parameters.age]
        return StayFilter(number, None, days.mature_until(now_us, end_us), start_us)
    window = _window(model, phase, parameters.window)
    window_us = None if window is None else WINDOWS_US[window]
    return StayFilter(
        number,
        None if parameters.next is None else phase_number(model, parameters.next, "next"),
        days.mature_until(now_us, window_us),
        window_us if number == "lapsed_within" else None,
    )


def _against(part: Stays, before: Stays) -> Against:
    return against(part, before.mature, before.lapsed_within)


def _window(model: Model, phase: int, window: str | None) -> str | None:
    """The name of the window; None: without an end.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such window, or nobody can lapse within it.
    """
    of_phase = model.phases[phase - 1]
    shortest = window_of(of_phase.window_us)
    if window is None or window == "none":
        return shortest if window is None else None
    if window not in WINDOWS_US or WINDOWS_US[window] <= of_phase.window_us:
        names = [name for name, us in WINDOWS_US.items() if us > of_phase.window_us]
        raise ServiceError(
            400,
            "invalid_parameter",
            f"window: a lapse in {of_phase.name} takes longer than {window[:100]!r}, or there is no such window; "
            f"choose one of {', '.join([*names, 'none'])}",
            field="window",
        )
    return window


def _stay_links(
    live: LiveModel, parameters: SpanParameters, phase: int
) -> Callable[[Days, Mapping[str, Sequence[str]]], Link]:
    """Returns what makes the paths of the lists of stays in a phase that began in some days, by further parameters."""
    lists = ListLinks(live.model.name, parameters.source, parameters.channel)
    name = live.model.phases[phase - 1].name

    def of(days: Days, which: Mapping[str, Sequence[str]]) -> Link:
        def path(number: Number, **more: str) -> str:
            question = {"phase": name, "outcome": number, **_span_of(days), **more}
            return lists.path("/v1/abandonment/customers", {**question, **which})

        return path

    return of


def _day_of(at_us: int, zone: tzinfo) -> tuple[int, int]:
    """The start of the day of an instant, and that of the next day."""
    days = LocalDays(zone)
    start_us = days[at_us]
    return start_us, days[start_us + LONGEST_DAY_US + HOUR_US]


def _stored_kind(model: Model, name: str | None, field: str) -> str | None:
    """What transitions hold for the name of a kind.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such kind.
    """
    return UNKNOWN if name == UNMAPPED else None if name is None else _kind_named(model, name, field)


def _span_of(days: Days) -> dict[str, str]:
    return {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}


def _kinds_of_visits(model: Model, parameters: VisitKindsParameters) -> KindTable:
    """The vocabulary, marked for a question about visits with a kind and the next.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such kind.
    """
    marks = {_kind_named(model, parameters.kind, "kind"): AT_PHASE}
    following = _kind_named(model, parameters.next, "next")
    marks[following] = marks.get(following, 0) | BEYOND
    return kind_table(model, lambda _word, kind: marks.get(kind.name, 0))


def _frictions(model: Model) -> list[tuple[str, str]]:
    """The model's frictions as (friction, name of the event), the last of them for all that are too many."""
    names: list[tuple[str, str]] = sorted((kind.friction, name) for name, kind in model.names.items() if kind.friction)
    return names if len(names) <= MAX_FRICTIONS else [*names[: MAX_FRICTIONS - 1], ("error", OTHER)]


def _kind_named(model: Model, name: str, field: str) -> str:
    """The name of a kind.

    Raises:
        ServiceError: 400 `invalid_parameter`: the model has none of that name.
    """
    if name not in {kind.name for kind in (*model.calls.values(), *model.names.values())}:
        raise ServiceError(
            400,
            "invalid_parameter",
            f"{field}: {model.name} has no kind {name[:100]!r}; `throughline model show` lists them",
            field=field,
        )
    return name


def _kinds(model: Model, phase: int, kind_name: str | None, names: list[tuple[str, str]]) -> KindTable:
    """The vocabulary, marked for a question about friction.

    Raises:
        ServiceError: 400 `invalid_parameter`: there is no such kind.
    """
    if kind_name is not None:
        _kind_named(model, kind_name, "kind")
    bits = {name: bit for bit, name in enumerate(names)}

    def marks(word: str, kind: Kind) -> int:
        phases = [rule.phase for rule in kind.rules]
        is_at_phase = phase in phases if kind_name is None else kind.name == kind_name
        bit = bits.get((kind.friction, word), len(names) - 1) if kind.friction else None
        return (
            AT_PHASE * is_at_phase
            | BEYOND * bool(phases and min(phases) > phase)
            | (0 if bit is None else 1 << FRICTION + bit)
        )

    return kind_table(model, marks)
