"""The answers of funnels. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from services.api.funnel.queries import CustomerInFunnel, Outcome
from services.api.shared.answers import Answer, HistoryFrom, Instant, ModelName, NextCursor, SettledUntil, instant
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links
from services.api.shared.workspace import LiveModel
from throughline.analytics import funnel as funnels
from throughline.analytics.intervals import Interval, newcombe
from throughline.analytics.survival import Curve
from throughline.journey.funnel import EDGES_US, ENDED, LAPSED
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339

Link = Callable[[str, Outcome], str]
"""Returns the path of the list of customers behind a number of a step, given its phase; None: there is none."""
_NUMBERS: Mapping[str, Outcome] = {
    **{name: name for name in ("reached", "lapsed", "ended", "still")},
    "within.mature": "mature",
    "within.reached": "within",
}
"""The numbers of a step, and which outcome each counts."""
Seconds = Annotated[float | None, Meta(description="seconds; null: so many never do", examples=[93600.0])]


class Share(Answer):
    """A share with its interval of 95 % (Wilson's score; of a difference Newcombe's)."""

    rate: Annotated[float, Meta(examples=[0.3506])]
    low: Annotated[float, Meta(examples=[0.3365])]
    high: Annotated[float, Meta(examples=[0.365])]


class WithinWindow(Answer):
    """Who came within the window, of those who had the time to."""

    mature: Annotated[int, Meta(description="whose window has passed for their whole day", examples=[4310])]
    reached: Annotated[int, Meta(examples=[1511])]
    rate: Annotated[Share | None, Meta(description="null: nobody had the time")]


class TimeToStep(Answer):
    """How long it takes all who begin, not only those who come (Aalen-Johansen, on fixed ages)."""

    p25: Seconds
    p50: Seconds
    p75: Seconds
    share_at: Annotated[dict[str, float], Meta(description="age -> share that has come; ages not yet seen are absent")]


class FunnelStep(Answer):
    """One step after the first: cohort.entered = reached + lapsed + ended + still."""

    phase: Annotated[str, Meta(examples=["decision"])]
    reached: Annotated[int, Meta(description="came to the phase or beyond", examples=[1840])]
    entered: Annotated[int | None, Meta(description="entered the phase itself; null of customers", examples=[1702])]
    lapsed: Annotated[int, Meta(description="lapsed before; of customers: silent, and never came", examples=[2011])]
    ended: Annotated[int, Meta(description="ended by an event before", examples=[12])]
    still: Annotated[int, Meta(description="on the way", examples=[1257])]
    within: WithinWindow
    of_previous: Annotated[WithinWindow, Meta(description="the same, of those who came to the step before in time")]
    time: TimeToStep
    customers: Annotated[
        str,
        Meta(
            description="path of the list of those who reached it; `outcome` makes it that of another number",
            examples=["/v1/funnel/customers?steps=discovery%2Cdecision&outcome=reached"],
        ),
    ]
    links: Links


class Cohort(Answer):
    """Who came to the first step in the span."""

    entered: Annotated[int, Meta(examples=[5120])]
    mature: Annotated[int, Meta(examples=[4310])]
    immature: Annotated[int, Meta(description="their window has not passed: in no rate", examples=[810])]
    links: Links


class FunnelPart(Answer):
    """The funnel of the customers with one value of the dimension."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["email"])]
    cohort: Cohort
    steps: list[FunnelStep]


class Difference(Answer):
    """A step's rate less that of the span before."""

    phase: Annotated[str, Meta(examples=["decision"])]
    difference: Annotated[Share | None, Meta(description="null: one of the two has no rate")]
    shown: Annotated[bool, Meta(description="false: no difference shown, the interval holds 0")]


class Comparison(Answer):
    """The same question, asked of as many days before."""

    from_: Instant = msgspec.field(name="from")
    to: Instant
    cohort: Cohort
    steps: list[FunnelStep]
    differences: list[Difference]


class Funnel(OfDays):
    """Of those who came to the first step in the span: how many went on, how soon, and what became of the others."""

    TABLE: ClassVar[str] = "breakdown.steps"

    unit: Annotated[str, Meta(examples=["cycle"])]
    window: Annotated[str | None, Meta(description="null: without an end", examples=["30d"])]
    steps_from: Annotated[str, Meta(description="the first step", examples=["discovery"])]
    cohort: Cohort
    steps: list[FunnelStep]
    breakdown: list[FunnelPart]
    compared: Annotated[Comparison | None, Meta(description="null: not asked for")]

    def table_items(self) -> list[FunnelPart]:
        """The whole, whose value is empty, and its parts."""
        return [FunnelPart("", self.cohort, self.steps), *self.breakdown]


class TrendDay(Answer):
    """The entries of one day (or week, or month), and how many came to the last step."""

    from_: Instant = msgspec.field(name="from")
    cohort: Cohort
    reached: Annotated[int, Meta(examples=[41])]
    lapsed: Annotated[int, Meta(examples=[38])]
    ended: Annotated[int, Meta(examples=[0])]
    still: Annotated[int, Meta(examples=[7])]
    within: WithinWindow
    settled: Annotated[bool, Meta(description="false: the window has not passed for all of it")]
    links: Links


class Trend(Answer):
    """One rate per day of entry; all days together are the funnel."""

    TABLE: ClassVar[str] = "days"

    model: ModelName
    unit: Annotated[str, Meta(examples=["cycle"])]
    window: Annotated[str | None, Meta(examples=["30d"])]
    time_zone: Annotated[str, Meta(examples=["Europe/Berlin"])]
    settled_until: SettledUntil
    history_from: HistoryFrom
    steps_from: Annotated[str, Meta(examples=["discovery"])]
    steps_to: Annotated[str, Meta(examples=["purchase"])]
    days: list[TrendDay]


TimeLinks = Annotated[
    dict[str, str],
    Meta(
        description="path of the list of exactly those that a number counts, by the number's name, with {from_seconds} "
        "of the age to fill in (RFC 6570)",
        examples=[{"ages.at_risk": "/v1/abandonment/customers?phase=decision&outcome=at_risk&age={from_seconds}"}],
    ),
]


class Age(Answer):
    """One bin of age of a stay in a phase: who is at risk in it, and the shares after it, which add up to 1."""

    from_seconds: Annotated[float, Meta(examples=[86400.0])]
    to_seconds: Annotated[float, Meta(examples=[172800.0])]
    at_risk: Annotated[int, Meta(examples=[3200])]
    advanced: Annotated[dict[str, float], Meta(description="phase -> share that has gone on to it")]
    lapsed: Annotated[float, Meta(examples=[0.12])]
    ended: Annotated[float, Meta(examples=[0.0])]
    still: Annotated[float, Meta(description="share that is still in the phase", examples=[0.55])]
    still_error: Annotated[float, Meta(description="its standard error (Greenwood)", examples=[0.01])]


class TimePart(Answer):
    """The stays of the customers or cycles with one value of the dimension."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["mobile"])]
    entered: Annotated[int, Meta(examples=[1630])]
    ages: list[Age]
    links: TimeLinks


class PhaseTime(OfDays):
    """How stays in a phase end, by their age. A lapse shows only once the phase's window has passed."""

    TABLE: ClassVar[str] = "breakdown.ages"

    phase: Annotated[str, Meta(examples=["consideration"])]
    entered: Annotated[int, Meta(examples=[5120])]
    ages: list[Age]
    links: TimeLinks
    breakdown: list[TimePart]

    def table_items(self) -> list[TimePart]:
        """The whole, whose value is empty, and its parts."""
        return [TimePart("", self.entered, self.ages, self.links), *self.breakdown]


class FunnelCustomer(Answer):
    """One customer behind a number, and when it came to the first and the last step."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    cycle: Annotated[int | None, Meta(description="null of customers", examples=[1])]
    entered_at: Instant
    reached_at: Annotated[Instant | None, Meta(description="null: has not come to the last step")]


class FunnelCustomers(Answer):
    """A page of the customers behind a number of a funnel."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[FunnelCustomer]
    next_cursor: NextCursor


def customers_answer(model: str, rows: Sequence[CustomerInFunnel], next_cursor: str | None) -> FunnelCustomers:
    """A page of the list."""
    return FunnelCustomers(
        model=model,
        items=[
            FunnelCustomer(row.id, row.cycle or None, rfc3339(row.entered_us), instant(row.reached_us)) for row in rows
        ],
        next_cursor=next_cursor,
    )


def funnel_answer(
    live: LiveModel,
    days: Days,
    phases: Sequence[int],
    *,
    unit: str,
    window: str | None,
    total: tuple[funnels.Funnel, Link],
    parts: Sequence[tuple[str, funnels.Funnel, Link]],
    compared: tuple[Days, funnels.Funnel, Link] | None,
) -> Funnel:
    """The funnel with its breakdown and comparison, each with the links to the customers behind it."""
    model = live.model
    return Funnel(
        **of_days(live, days),
        unit=unit,
        window=window,
        steps_from=_name(model, phases[0]),
        cohort=_cohort(model, *total),
        steps=_steps(model, *total),
        breakdown=[
            FunnelPart(value, _cohort(model, part, link), _steps(model, part, link)) for value, part, link in parts
        ],
        compared=None if compared is None else _comparison(model, total[0], *compared),
    )


def trend_day(model: Model, from_us: int, day: funnels.Funnel, link: Link, *, settled: bool) -> TrendDay:
    """The last step of the funnel of one day's entries. `settled`: the window of all of them has passed."""
    step = day.steps[-1]
    return TrendDay(
        from_=rfc3339(from_us),
        cohort=_cohort(model, day, link),
        reached=step.reached,
        lapsed=step.lapsed,
        ended=step.ended,
        still=step.still,
        within=_within(step.within),
        settled=settled,
        links=_links(link, _name(model, step.phase), _NUMBERS),
    )


def trend_answer(
    live: LiveModel, phases: Sequence[int], *, unit: str, window: str | None, days: list[TrendDay]
) -> Trend:
    """The trend of a way from one phase to another."""
    model = live.model
    return Trend(
        model=model.name,
        unit=unit,
        window=window,
        time_zone=live.workspace.time_zone,
        settled_until=instant(live.workspace.applied_watermark_us),
        history_from=instant(live.workspace.retention_cutoff_us),
        steps_from=_name(model, phases[0]),
        steps_to=_name(model, phases[-1]),
        days=days,
    )


def time_answer(
    live: LiveModel,
    days: Days,
    phase: int,
    total: tuple[funnels.Spells, Mapping[str, str]],
    parts: Sequence[tuple[str, funnels.Spells, Mapping[str, str]]],
) -> PhaseTime:
    """The curves of a phase, of all and of each value of a dimension, each with its lists."""
    model = live.model
    return PhaseTime(
        **of_days(live, days),
        phase=_name(model, phase),
        entered=total[0].entered,
        ages=_ages(model, phase, total[0]),
        links=dict(total[1]),
        breakdown=[
            TimePart(value, part.entered, _ages(model, phase, part), dict(links)) for value, part, links in parts
        ],
    )


def _ages(model: Model, phase: int, spells: funnels.Spells) -> list[Age]:
    later = {other.number: other.name for other in model.phases if other.number > phase}
    curve = spells.curve
    return [
        Age(
            from_seconds=EDGES_US[number] / 1e6,
            to_seconds=EDGES_US[number + 1] / 1e6,
            at_risk=spells.at_risk[number],
            advanced={name: _at(curve, phase_number, number) for phase_number, name in later.items()},
            lapsed=_at(curve, LAPSED, number),
            ended=_at(curve, ENDED, number),
            still=survival,
            still_error=curve.survival_error[number],
        )
        for number, survival in enumerate(curve.survival)
    ]


def _at(curve: Curve, way: int, number: int) -> float:
    shares: Mapping[int, Sequence[float]] = curve.incidence
    return shares[way][number] if way in shares else 0.0


def _name(model: Model, phase: int) -> str:
    return model.phases[phase - 1].name


def _cohort(model: Model, funnel: funnels.Funnel, link: Link) -> Cohort:
    phase = _name(model, funnel.steps[-1].phase)
    outcomes: Mapping[str, Outcome] = {"entered": "cohort", "mature": "mature", "immature": "immature"}
    return Cohort(funnel.cohort, funnel.mature, funnel.immature, _links(link, phase, outcomes))


def _links(link: Link, phase: str, outcomes: Mapping[str, Outcome]) -> dict[str, str]:
    return {number: link(phase, outcome) for number, outcome in outcomes.items()}


def share(interval: Interval | None) -> Share | None:
    return None if interval is None else Share(*interval)


def _within(within: funnels.Within) -> WithinWindow:
    return WithinWindow(within.mature, within.reached, share(within.rate))


def _time(time: funnels.Time) -> TimeToStep:
    first, half, third = (None if age_us is None else age_us / 1e6 for age_us in time.quartiles_us)
    return TimeToStep(first, half, third, dict(time.share_at))


def _steps(model: Model, funnel: funnels.Funnel, link: Link) -> list[FunnelStep]:
    return [
        FunnelStep(
            phase=_name(model, step.phase),
            reached=step.reached,
            entered=step.entered,
            lapsed=step.lapsed,
            ended=step.ended,
            still=step.still,
            within=_within(step.within),
            of_previous=_within(step.of_previous),
            time=_time(step.time),
            customers=link(_name(model, step.phase), "reached"),
            links=_links(
                link,
                _name(model, step.phase),
                _NUMBERS if step.entered is None else {**_NUMBERS, "entered": "entered"},
            ),
        )
        for step in funnel.steps
    ]


def _comparison(model: Model, total: funnels.Funnel, days: Days, before: funnels.Funnel, link: Link) -> Comparison:
    differences = [
        (step.phase, newcombe(step.within.reached, step.within.mature, earlier.within.reached, earlier.within.mature))
        for step, earlier in zip(total.steps, before.steps, strict=True)
    ]
    return Comparison(
        from_=rfc3339(days.from_us),
        to=rfc3339(days.end_us),
        cohort=_cohort(model, before, link),
        steps=_steps(model, before, link),
        differences=[
            Difference(
                _name(model, phase),
                share(difference),
                shown=difference is not None and not difference.low <= 0 <= difference.high,
            )
            for phase, difference in differences
        ],
    )
