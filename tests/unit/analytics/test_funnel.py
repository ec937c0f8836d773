"""The funnel of six customers, worked out by hand, through the fold and its kept sums."""

from collections.abc import Sequence

import pytest

from tests.support.six_customers import (
    CONSIDERATION,
    DECISION,
    DISCOVERY,
    LOYALTY,
    NOW_DAY,
    NOW_US,
    PURCHASE,
    START_US,
    day_of,
    journeys,
)  # fmt: skip
from throughline.analytics.funnel import WINDOWS_US, Count, Day, Funnel, funnel, spells
from throughline.journey import flows
from throughline.journey.durations import DAY_US, MINUTE_US, SECOND_US
from throughline.journey.fold import fold
from throughline.journey.funnel import CUSTOMER, CYCLE, ENTRY, LAPSED, REACHED, FunnelCell, FunnelDeltas, contribute
from throughline.journey.state import ENTER, LAPSE, RETURN
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model


def counts(unit: int) -> list[Count]:
    deltas: FunnelDeltas = {}
    for journey, transitions in journeys():
        contribute(deltas, 1, journey, None, transitions, day_of)
    return [
        Count(cell.day_us, cell.phase, cell.way, cell.age, count)
        for cell, count in ((FunnelCell(*key), count) for key, count in deltas.items())
        if cell.unit == unit
    ]


DAYS = [Day(START_US + day * DAY_US, (NOW_DAY - day - 1) * DAY_US) for day in range(NOW_DAY)]


def shop_funnel(*phases: int, window: str | None = None, unit: int = CYCLE) -> Funnel:
    return funnel(counts(unit), DAYS, phases, None if window is None else WINDOWS_US[window], unit)


def entries(unit: int, phase: int) -> int:
    return sum(count.entries for count in counts(unit) if (count.phase, count.way) == (phase, ENTRY))


def test_entries_of_cycles_and_of_customers() -> None:
    assert [entries(CYCLE, phase) for phase in range(1, 8)] == [5, 4, 4, 2, 0, 1, 0]
    assert (entries(CUSTOMER, DISCOVERY), entries(CUSTOMER, DECISION), entries(CUSTOMER, PURCHASE)) == (6, 4, 2)


def test_discovery_to_decision_and_purchase() -> None:
    result = shop_funnel(DISCOVERY, DECISION, PURCHASE)
    decision, purchase = result.steps
    assert result.cohort == 5
    assert (decision.reached, decision.lapsed, decision.ended, decision.still) == (3, 1, 0, 1)
    assert (purchase.reached, purchase.lapsed, purchase.ended, purchase.still) == (1, 2, 0, 2)


def test_only_those_whose_window_has_passed_make_the_rate() -> None:
    result = shop_funnel(DISCOVERY, DECISION, window="7d")
    within = result.steps[0].within
    assert (result.mature, result.immature) == (4, 1)
    assert (within.mature, within.reached) == (4, 2)
    assert within.rate is not None
    assert tuple(round(value, 3) for value in within.rate) == (0.5, 0.15, 0.85)


def test_time_is_that_of_all_not_of_those_who_came() -> None:
    """Decision comes to one at once and to two on the second day; one is seen for ten days, one lapses on the 30th."""
    time = shop_funnel(DISCOVERY, DECISION).steps[0].time
    assert time.share_at == pytest.approx({"1d": 0.2, "7d": 0.6, "30d": 0.6})
    first, half, third = time.quartiles_us
    assert first is not None
    assert half is not None
    assert 2 * DAY_US < first < half < 3 * DAY_US
    assert third is None
    _, at_risk, curve = spells(counts(CYCLE), DAYS, DISCOVERY)
    assert at_risk[0] == 5
    for number, survival in enumerate(curve.survival):
        assert survival + sum(shares[number] for shares in curve.incidence.values()) == pytest.approx(1)
    assert curve.incidence[LAPSED][-1] == pytest.approx(0.2)


def test_customers_reach_by_any_cycle() -> None:
    result = shop_funnel(DISCOVERY, DECISION, PURCHASE, unit=CUSTOMER)
    decision = result.steps[0]
    assert (result.cohort, decision.reached, decision.entered) == (6, 4, None)
    assert decision.reached + decision.lapsed + decision.ended + decision.still == 6


def test_an_empty_span_has_no_rate() -> None:
    result = funnel([], DAYS, (DISCOVERY, DECISION), WINDOWS_US["7d"])
    assert (result.cohort, result.steps[0].within.rate) == (0, None)
    assert result.steps[0].time.share_at == {}


def posthogs(window_us: int, *people: Sequence[tuple[str, int]]) -> Funnel:
    """The funnel of people by what each did at which second: a session, a product viewed, a cart."""
    deltas: FunnelDeltas = {}
    names = {"s": "Session Start", "v": "Product Viewed", "c": "Product Added"}
    for number, steps in enumerate(people):
        events = [
            Touchpoint(START_US + at * SECOND_US, 0, f"m{place}", f"p{number}", "track", names[step])
            for place, (step, at) in enumerate(steps)
        ]
        folded = fold(load_model("seven_phase"), None, events, NOW_US)
        assert folded.journey is not None
        contribute(deltas, 1, folded.journey, None, folded.transitions, day_of)
    cells = ((FunnelCell(*key), number) for key, number in deltas.items())
    sums = [Count(c.day_us, c.phase, c.way, c.age, number) for c, number in cells if c.unit == CYCLE]
    return funnel(sums, DAYS, (DISCOVERY, CONSIDERATION, DECISION), window_us)


def test_posthogs_cases_of_time() -> None:
    """Three people; later tries that lead nowhere; windows of two weeks and of five minutes."""
    weeks_us = WINDOWS_US["14d"]
    people = (
        [("s", 0), ("v", 3_600), ("c", 10_800)],
        [("s", 0), ("v", 7_200), ("c", 10_800)],
        [("s", 0), ("v", 7_200)],
    )
    second, third = posthogs(weeks_us, *people).steps
    assert (second.reached, third.reached) == (3, 2)
    assert second.time.quartiles_us[1] == pytest.approx(7_200 * SECOND_US)
    once, again = [("s", 0), ("v", 3_600)], [("s", 0), ("v", 3_600), ("s", 7_200), ("s", 9_000), ("v", 12_000)]
    assert posthogs(weeks_us, once) == posthogs(weeks_us, again)
    people = ([("s", 0), ("v", 299)], [("s", 0), ("v", 900)], [("s", 0)])
    for window_us, number in ((weeks_us, 2), (5 * MINUTE_US, 1)):
        within = posthogs(window_us, *people).steps[0].within
        assert (within.mature, within.reached) == (3, number)


def test_moves_along_the_edges() -> None:
    moved: flows.FlowDeltas = {}
    for journey, transitions in journeys():
        flows.contribute(moved, {}, 1, journey, None, transitions, day_of)
    edges: dict[tuple[int, int, int], int] = {}
    for cell, count in ((flows.FlowCell(*key), count) for key, count in moved.items()):
        if cell.reading != flows.MOVES:
            continue
        edge = (cell.kind, cell.from_phase, cell.to_phase)
        edges[edge] = edges.get(edge, 0) + count
    assert edges == {
        (ENTER, 0, DISCOVERY): 5,
        (ENTER, 0, CONSIDERATION): 1,
        (ENTER, DISCOVERY, CONSIDERATION): 2,
        (ENTER, DISCOVERY, DECISION): 2,
        (ENTER, CONSIDERATION, DECISION): 2,
        (ENTER, DECISION, PURCHASE): 2,
        (ENTER, PURCHASE, LOYALTY): 1,
        (LAPSE, DISCOVERY, DISCOVERY): 1,
        (LAPSE, DECISION, DECISION): 1,
        (RETURN, DISCOVERY, CONSIDERATION): 1,
    }


def test_later_days_change_only_what_is_seen() -> None:
    """As the present moves on, immature becomes mature and nothing that was reached is lost."""
    sums = counts(CYCLE)
    for later in range(30):
        days = [day._replace(seen_us=day.seen_us + later * DAY_US) for day in DAYS]
        result = funnel(sums, days, (DISCOVERY, DECISION), WINDOWS_US["7d"])
        assert result.steps[0].reached == sum(c.entries for c in sums if (c.phase, c.way) == (1, REACHED + DECISION))
        last_us = START_US + (NOW_DAY + later - 8) * DAY_US
        mature = [c.entries for c in sums if (c.phase, c.way) == (1, ENTRY) and c.day_us <= last_us]
        assert result.mature == sum(mature)
