"""The answers of abandonment. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlencode

import msgspec
from msgspec import Meta

from services.api.abandonment.queries import Ends, Stay
from services.api.funnel.answers import Share, share
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor, instant
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links
from services.api.shared.workspace import LiveModel
from services.api.visits.queries import Visit
from throughline.analytics.abandonment import Against, Stays
from throughline.analytics.intervals import newcombe, wilson
from throughline.analytics.strata import Difference, Stratum, difference_in_strata, shown
from throughline.journey.durations import HOUR_US
from throughline.journey.model import Model
from throughline.journey.trail import UNKNOWN
from throughline.kit.clock import rfc3339

BaselineName = Literal["others", "previous"]
Link = Callable[..., str]
"""Returns the path of the list of the stays that a number counts, by its name and further parameters."""
UNMAPPED = "(unmapped)"
"""The kind of touchpoints that the vocabulary does not know."""
LONGEST_DAY_US = 25 * HOUR_US
"""The length of the day on which the clock is set back."""

Shown = Annotated[bool, Meta(description="false: no difference shown, chance alone may make as large a one")]
PhaseName = Annotated[str, Meta(examples=["decision"])]
WindowName = Annotated[str | None, Meta(description="null: without an end", examples=["14d"])]
Zone = Annotated[str, Meta(description="in which days begin", examples=["Europe/Berlin"])]


class Baseline(Answer):
    """What a rate is compared with: all others of the breakdown, or the same entries of as many days before."""

    mature: Annotated[int, Meta(examples=[2310])]
    lapsed_within: Annotated[int, Meta(examples=[410])]
    rate: Share | None
    difference: Annotated[Share | None, Meta(description="the rate less this one (Newcombe); null: one has none")]
    shown: Shown
    lost: Annotated[
        float | None,
        Meta(description="lapses beyond those that the baseline's rate would make; below 0: fewer", examples=[38.2]),
    ]
    links: Links


class PhaseStays(Answer):
    """Stays in the phase that began in the span: entered = advanced + lapsed + ended + still."""

    entered: Annotated[int, Meta(examples=[1702])]
    advanced: Annotated[dict[str, int], Meta(description="phase entered next -> stays")]
    lapsed: Annotated[int, Meta(description="silent for the phase's window", examples=[611])]
    ended: Annotated[int, Meta(description="ended by an event", examples=[4])]
    still: Annotated[int, Meta(examples=[80])]
    mature: Annotated[int, Meta(description="whose window has passed for their whole day", examples=[1510])]
    lapsed_within: Annotated[int, Meta(description="of the mature, lapsed within the window", examples=[590])]
    rate: Annotated[Share | None, Meta(description="null: none is mature")]
    baseline: Annotated[Baseline | None, Meta(description="null: there are no others")]
    customers: Annotated[
        str,
        Meta(
            description="path of the list of those who lapsed; `outcome` makes it that of another number",
            examples=["/v1/abandonment/customers?phase=decision&outcome=lapsed"],
        ),
    ]
    links: Links


class AbandonmentPart(Answer):
    """The stays of the customers or cycles with one value of the dimension."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["mobile"])]
    stays: PhaseStays


class Abandonment(OfDays):
    """Of those who came to a phase in the span, how many lapsed there; the parts add up to the total."""

    TABLE: ClassVar[str] = "breakdown"

    phase: PhaseName
    window: WindowName
    baseline: Annotated[BaselineName, Meta(description="others: of the breakdown; previous: as many days before")]
    total: PhaseStays
    breakdown: list[AbandonmentPart]

    def table_items(self) -> list[AbandonmentPart]:
        """The whole, whose value is empty, and its parts."""
        return [AbandonmentPart("", self.total), *self.breakdown]


class AbandonmentPhase(Answer):
    """The stays in one phase."""

    phase: PhaseName
    window: WindowName
    stays: PhaseStays


class AbandonmentByPhase(OfDays):
    """The same of each phase of the model, in its order."""

    TABLE: ClassVar[str] = "phases"

    phases: list[AbandonmentPhase]


class VisitBaseline(Answer):
    """What a share of visits is compared with: all other visits, or those of as many days before."""

    visits: Annotated[int, Meta(examples=[378])]
    advanced: Annotated[int, Meta(examples=[314])]
    rate: Share | None
    difference: Annotated[Share | None, Meta(description="the rate less this one (Newcombe); null: one has none")]
    shown: Shown
    lost: Annotated[
        float | None,
        Meta(description="visits more that would have gone on at the baseline's rate; below 0: fewer", examples=[24.4]),
    ]
    links: Links


class VisitCount(Answer):
    """Visits, and how many of them went on in the same visit."""

    visits: Annotated[int, Meta(examples=[60])]
    advanced: Annotated[int, Meta(examples=[22])]
    rate: Annotated[Share | None, Meta(description="of those that went on; null: there are no visits")]
    baseline: Annotated[VisitBaseline | None, Meta(description="null: there are no others")]
    links: Links


class VisitPart(Answer):
    """The visits with one value of the dimension."""

    value: Annotated[str, Meta(description="`(other)`: all further values together", examples=["mobile"])]
    count: VisitCount


class Visits(OfDays):
    """Of the visits with a kind of touchpoint, how many went on to another; the parts add up to the total."""

    TABLE: ClassVar[str] = "breakdown"

    kind: Annotated[str, Meta(examples=["checkout"])]
    next: Annotated[str, Meta(examples=["order"])]
    baseline: Annotated[BaselineName, Meta(description="others: of the breakdown; previous: as many days before")]
    total: VisitCount
    breakdown: list[VisitPart]

    def table_items(self) -> list[VisitPart]:
        """The whole, whose value is empty, and its parts."""
        return [VisitPart("", self.total), *self.breakdown]


class LeavingDay(Answer):
    """Lapsed stays by the day of the customer's last touchpoint."""

    from_: Instant = msgspec.field(name="from")
    lapsed: Annotated[int, Meta(examples=[12])]
    settled: Annotated[bool, Meta(description="false: who was here last on this day may still lapse")]
    links: Links


class LeavingPlace(Answer):
    """Lapsed stays by the kind of the customer's last touchpoint."""

    kind: Annotated[str, Meta(description=f"`{UNMAPPED}`: no kind is known of it", examples=["checkout"])]
    lapsed: Annotated[int, Meta(examples=[120])]
    links: Links


class KindBefore(Answer):
    """How often a kind is among the last touchpoints before a lapse, and before going on."""

    kind: Annotated[str, Meta(examples=["checkout_error"])]
    lapsed: Annotated[int, Meta(description="lapsed stays with it", examples=[140])]
    lapsed_share: Annotated[Share | None, Meta(description="of `lapsed_known`")]
    advanced: Annotated[int, Meta(description="stays that went on with it", examples=[31])]
    advanced_share: Annotated[Share | None, Meta(description="of `advanced_known`")]
    risk_ratio: Annotated[float | None, Meta(description="share of the lapsed by that of the advanced", examples=[4.1])]
    difference: Annotated[Share | None, Meta(description="of the two shares (Newcombe)")]
    shown: Shown
    links: Links


class LastTouchpoints(OfDays):
    """When those who lapsed left, where, and after what."""

    TABLE: ClassVar[str] = "kinds"

    phase: PhaseName
    lapsed: Annotated[int, Meta(description="lapsed stays that began in the span", examples=[611])]
    lapsed_known: Annotated[
        int, Meta(description="those whose last touchpoints are kept; they add up in `days` and `places`")
    ]
    advanced_known: Annotated[int, Meta(description="stays that went on whose touchpoints before are kept")]
    links: Links
    days: Annotated[list[LeavingDay], Meta(description="when: the day of the last touchpoint, not that of the lapse")]
    places: Annotated[list[LeavingPlace], Meta(description="where: the kind of the last touchpoint")]
    kinds: Annotated[list[KindBefore], Meta(description="after what; those that differ most first")]


class FrictionRow(Answer):
    """Visits with a friction against visits without it."""

    friction: Annotated[str, Meta(description="payment, coupon, form, stock, delivery, support or error")]
    name: Annotated[str, Meta(description="the event's name, in lower case without separators")]
    visits: Annotated[int, Meta(description="with it", examples=[95])]
    advanced: Annotated[int, Meta(description="of these, went on within a day", examples=[11])]
    share: Share | None
    other_visits: Annotated[int, Meta(examples=[703])]
    other_advanced: Annotated[int, Meta(examples=[459])]
    other_share: Share | None
    difference: Annotated[
        Share | None,
        Meta(
            description="of shares, within a week, a channel and a device (Mantel-Haenszel, Sato); null: none has both"
        ),
    ]
    strata: Annotated[int, Meta(description="weeks x channels x devices compared", examples=[63])]
    dropped: Annotated[int, Meta(description="strata of fewer than 5 visits, which are left out", examples=[161])]
    p: Annotated[float | None, Meta(description="how likely by chance (Cochran-Mantel-Haenszel)", examples=[0.0001])]
    shown: Shown
    links: Links


class Friction(OfDays):
    """What went with not going on, by visit: never said to be the cause."""

    TABLE: ClassVar[str] = "rows"

    phase: PhaseName
    kind: Annotated[str | None, Meta(description="visits with this kind; null: with any kind of the phase")]
    visits: Annotated[int, Meta(examples=[798])]
    advanced: Annotated[int, Meta(description="went on beyond the phase within a day", examples=[470])]
    links: Links
    rows: Annotated[list[FrictionRow], Meta(description="the largest differences first")]


class StayInPhase(Answer):
    """One stay of a customer."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    cycle: Annotated[int, Meta(examples=[1])]
    entered_at: Instant
    ended_at: Annotated[Instant | None, Meta(description="when it lapsed, went on or was ended; null: is still there")]
    outcome: Annotated[Literal["entered", "advanced", "lapsed", "ended", "still"], Meta(examples=["lapsed"])]


class StaysInPhase(Answer):
    """A page of the stays behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[StayInPhase]
    next_cursor: NextCursor


class VisitItem(Answer):
    """One visit of a customer."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    started_at: Instant
    ended_at: Instant
    channel: Annotated[str, Meta(examples=["email"])]
    advanced: Annotated[bool, Meta(description="it went on")]


class VisitList(Answer):
    """A page of the visits behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[VisitItem]
    next_cursor: NextCursor


def visit_list_answer(model: str, visits: Sequence[Visit], next_cursor: str | None) -> VisitList:
    """One page."""
    return VisitList(
        model=model,
        items=[
            VisitItem(visit.id, rfc3339(visit.start_us), rfc3339(visit.end_us), visit.channel, visit.advanced)
            for visit in visits
        ],
        next_cursor=next_cursor,
    )


def stays_answer(
    model: Model, stays: Stays, link: Link, window: str | None, baseline: tuple[Against, Link | None] | None
) -> PhaseStays:
    """One row. `link`: its lists; `baseline`: with the lists of its own (None: it has nobody)."""
    lists = {number: link(number) for number in ("entered", "lapsed", "ended", "still")}
    for phase in stays.advanced:
        name = model.phases[phase - 1].name
        lists[f"advanced.{name}"] = link("advanced", next=name)
    return PhaseStays(
        entered=stays.entered,
        advanced={model.phases[phase - 1].name: number for phase, number in stays.advanced.items()},
        lapsed=stays.lapsed,
        ended=stays.ended,
        still=stays.still,
        mature=stays.mature,
        lapsed_within=stays.lapsed_within,
        rate=share(stays.rate),
        baseline=None if baseline is None else _baseline(stays, *baseline, window),
        customers=lists["lapsed"],
        links=lists | _rate_links(link, window),
    )


def _rate_links(link: Link, window: str | None) -> dict[str, str]:
    return {number: link(number, window=window or "none") for number in ("mature", "lapsed_within")}


def _baseline(stays: Stays, baseline: Against, link: Link | None, window: str | None) -> Baseline:
    difference = baseline.difference
    return Baseline(
        mature=baseline.mature,
        lapsed_within=baseline.lapsed_within,
        rate=share(baseline.rate),
        difference=share(difference),
        shown=baseline.is_shown,
        lost=None if difference is None else stays.mature * difference.estimate,
        links={} if link is None else _rate_links(link, window),
    )


def abandonment_answer(
    live: LiveModel,
    days: Days,
    phase: int,
    *,
    window: str | None,
    baseline: BaselineName,
    total: PhaseStays,
    breakdown: list[AbandonmentPart],
) -> Abandonment:
    """The total and the parts, each against its baseline."""
    return Abandonment(
        **of_days(live, days),
        phase=live.model.phases[phase - 1].name,
        window=window,
        baseline=baseline,
        total=total,
        breakdown=breakdown,
    )


def visit_count(visits: int, advanced: int, list_path: str, baseline: tuple[int, int, str | None] | None) -> VisitCount:
    """One row. `list_path`: the list of the visits; `baseline`: visits, those that went on, and their list."""
    compared = None
    if baseline is not None:
        difference = newcombe(advanced, visits, baseline[1], baseline[0])
        compared = VisitBaseline(
            visits=baseline[0],
            advanced=baseline[1],
            rate=share(wilson(baseline[1], baseline[0])),
            difference=share(difference),
            shown=difference is not None and not difference.low <= 0 <= difference.high,
            lost=None if difference is None else -visits * difference.estimate,
            links={} if baseline[2] is None else _visit_links(baseline[2]),
        )
    return VisitCount(visits, advanced, share(wilson(advanced, visits)), compared, _visit_links(list_path))


def _visit_links(list_path: str) -> dict[str, str]:
    return {"visits": list_path, "advanced": f"{list_path}&outcome=advanced"}


def visits_answer(
    live: LiveModel,
    days: Days,
    kinds: tuple[str, str],
    baseline: BaselineName,
    total: VisitCount,
    breakdown: list[VisitPart],
) -> Visits:
    """The total and the parts, each against its baseline. `kinds`: of what visits have, and of what they go on to."""
    return Visits(
        **of_days(live, days),
        kind=kinds[0],
        next=kinds[1],
        baseline=baseline,
        total=total,
        breakdown=breakdown,
    )


def last_answer(
    live: LiveModel,
    days: Days,
    phase: int,
    lapsed: int,
    ends: Ends,
    now_us: int,
    *,
    customers: str,
    list_path: str,
) -> LastTouchpoints:
    """When, where and after what.

    Args:
        live: the model.
        days: of entry.
        phase: the number of the phase.
        lapsed: all stays that lapsed.
        ends: what came before ends.
        now_us: the watermark.
        customers: the list of all stays that lapsed.
        list_path: the list of those whose last touchpoints are kept.
    """

    def link(**which: str) -> str:
        return f"{list_path}&{urlencode(which)}"

    window_us = live.model.phases[phase - 1].window_us
    return LastTouchpoints(
        **of_days(live, days),
        phase=live.model.phases[phase - 1].name,
        lapsed=lapsed,
        lapsed_known=ends.lapsed,
        advanced_known=ends.advanced,
        links={
            "lapsed": customers,
            "lapsed_known": link(outcome="lapsed"),
            "advanced_known": link(outcome="advanced"),
        },
        days=[
            LeavingDay(
                rfc3339(day_us),
                number,
                settled=day_us + LONGEST_DAY_US + window_us <= now_us,
                links={"lapsed": link(day=rfc3339(day_us))},
            )
            for day_us, number in sorted(ends.days.items())
        ],
        places=[
            LeavingPlace(_kind_name(kind), number, {"lapsed": link(place=_kind_name(kind))})
            for kind, number in sorted(ends.last.items(), key=lambda item: (-item[1], _kind_name(item[0])))
        ],
        kinds=_kinds_before(ends, list_path),
    )


def _kind_name(kind: str) -> str:
    return UNMAPPED if kind == UNKNOWN else kind


def _kinds_before(ends: Ends, list_path: str) -> list[KindBefore]:
    kinds = sorted({kind for _, kind in ends.kinds}, key=_kind_name)
    pairs = [(ends.kinds.get(("lapsed", kind), 0), ends.kinds.get(("advanced", kind), 0)) for kind in kinds]
    chances = [
        difference_in_strata([Stratum(ends.lapsed, lapsed, ends.advanced, advanced)]).p for lapsed, advanced in pairs
    ]
    rows = []
    for kind, (lapsed, advanced), is_shown in zip(kinds, pairs, shown(chances), strict=True):
        lapsed_share, advanced_share = wilson(lapsed, ends.lapsed), wilson(advanced, ends.advanced)
        ratio = None
        if lapsed_share is not None and advanced_share is not None and advanced_share.estimate > 0:
            ratio = lapsed_share.estimate / advanced_share.estimate
        name = _kind_name(kind)
        path = f"{list_path}&{urlencode({'kind': name})}"
        rows.append(
            KindBefore(
                kind=name,
                lapsed=lapsed,
                lapsed_share=share(lapsed_share),
                advanced=advanced,
                advanced_share=share(advanced_share),
                risk_ratio=ratio,
                difference=share(newcombe(lapsed, ends.lapsed, advanced, ends.advanced)),
                shown=is_shown,
                links={"lapsed": path, "advanced": f"{path}&outcome=advanced"},
            )
        )
    return sorted(rows, key=lambda row: (not row.shown, 0 if row.difference is None else -abs(row.difference.rate)))


def friction_answer(
    live: LiveModel,
    days: Days,
    phase: int,
    *,
    kind: str | None,
    visits: tuple[int, int],
    frictions: Mapping[tuple[str, str], Sequence[Stratum]],
    list_path: str,
) -> Friction:
    """The rows by friction and name. `visits`: all, and those that went on; `list_path`: the list of all."""
    differences: dict[tuple[str, str], Difference] = {
        name: difference_in_strata(strata) for name, strata in frictions.items()
    }
    are_shown = shown([difference.p for difference in differences.values()])
    rows = [
        _friction_row(*name, frictions[name], difference, list_path, is_shown=is_shown)
        for (name, difference), is_shown in zip(differences.items(), are_shown, strict=True)
    ]
    rows.sort(key=lambda row: (not row.shown, 0 if row.difference is None else -abs(row.difference.rate), row.name))
    return Friction(
        **of_days(live, days),
        phase=live.model.phases[phase - 1].name,
        kind=kind,
        visits=visits[0],
        advanced=visits[1],
        links={"visits": list_path, "advanced": f"{list_path}&outcome=advanced"},
        rows=rows,
    )


def _friction_row(
    friction: str, name: str, strata: Sequence[Stratum], difference: Difference, list_path: str, *, is_shown: bool
) -> FrictionRow:
    with_it = f"{list_path}&{urlencode({'friction': name})}"
    exposed, hits, others, other_hits = (sum(stratum[n] for stratum in strata) for n in range(4))
    return FrictionRow(
        friction=friction,
        name=name,
        visits=exposed,
        advanced=hits,
        share=share(wilson(hits, exposed)),
        other_visits=others,
        other_advanced=other_hits,
        other_share=share(wilson(other_hits, others)),
        difference=share(difference.interval),
        strata=difference.used,
        dropped=difference.dropped,
        p=difference.p,
        shown=is_shown,
        links={
            "visits": with_it,
            "advanced": f"{with_it}&outcome=advanced",
            "other_visits": f"{with_it}&without=true",
            "other_advanced": f"{with_it}&without=true&outcome=advanced",
        },
    )


def list_answer(model: str, rows: Sequence[Stay], next_cursor: str | None) -> StaysInPhase:
    """A page of the list."""
    return StaysInPhase(
        model=model,
        items=[
            StayInPhase(row.id, row.cycle, rfc3339(row.entered_us), instant(row.end_us), row.outcome) for row in rows
        ],
        next_cursor=next_cursor,
    )
