"""Numbers out of kept sums are a naive count of journeys; they add up over steps, parts and days, and only time settles
them."""

import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import LAPSE, NaiveTransition, naive_model, walk
from tests.reference.funnel import cycles
from tests.strategies.touchpoints import START_US, customer_logs, foldable, watermarks
from throughline.analytics.abandonment import against_others, stays
from throughline.analytics.funnel import WINDOWS_US, Count, Day, Funnel, funnel, spells
from throughline.journey import funnel as cells
from throughline.journey.durations import DAY_US
from throughline.journey.fold import fold
from throughline.journey.funnel import CUSTOMER, CYCLE
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")
FIRST_US = START_US - START_US % DAY_US
SPAN_DAYS = 400

logs_of_customers = st.lists(customer_logs(most=15), min_size=1, max_size=4)
steps_of_funnels = st.lists(st.integers(1, 7), min_size=2, max_size=4, unique=True).map(sorted)
windows = st.sampled_from([None, *WINDOWS_US.values()])


def day_of(at_us: int) -> int:
    return at_us - at_us % DAY_US


def is_in_span(at_us: int) -> bool:
    return FIRST_US <= at_us < FIRST_US + SPAN_DAYS * DAY_US


def counts_of(log: list[Touchpoint], now_us: int, unit: int) -> list[Count]:
    """The kept sums of one customer."""
    sums: cells.FunnelDeltas = {}
    folded = fold(MODEL, None, foldable(log), now_us)
    if folded.journey is not None:
        cells.contribute(sums, 1, folded.journey, None, folded.transitions, day_of)
    keys = ((cells.FunnelCell(*key), number) for key, number in sums.items())
    return [Count(cell.day_us, cell.phase, cell.way, cell.age, number) for cell, number in keys if cell.unit == unit]


def days_until(now_us: int, count: int = SPAN_DAYS) -> list[Day]:
    return [Day(start, now_us - start - DAY_US) for start in (FIRST_US + n * DAY_US for n in range(count))]


def naive_steps(
    transitions: list[NaiveTransition], phases: list[int], window_us: int | None, now_us: int, unit: int
) -> list[Counter[str]]:
    """How many of one customer's entries into the first phase reached, lapsed, ended or are on the way, by step."""
    attempts = cycles(transitions) if unit == CYCLE else [transitions] if transitions else []
    result = [Counter[str]() for _ in phases[1:]]
    for attempt in attempts:
        moves = [step for step in attempt if step.kind != LAPSE]
        if unit == CYCLE:
            entries = [step.at_us for step in moves if step.target == phases[0]]
        else:
            entries = [step.at_us for step in moves if step.target >= phases[0]]
        if not entries or not is_in_span(entries[0]):
            continue
        is_mature = window_us is None or day_of(entries[0]) + DAY_US + window_us <= now_us
        for counts, phase in zip(result, phases[1:], strict=True):
            beyond = [step.at_us for step in moves if step.target >= phase and step.at_us >= entries[0]]
            counts["cohort"] += 1
            counts["mature"] += is_mature
            if beyond:
                counts["reached"] += 1
                counts["within"] += is_mature and (window_us is None or beyond[0] - entries[0] < window_us)
            elif attempt[-1].kind != LAPSE:
                counts["still"] += 1
            else:
                counts["ended" if attempt[-1].message_id and unit == CYCLE else "lapsed"] += 1
    return result


def numbers_of(result: Funnel) -> list[Counter[str]]:
    return [
        Counter(
            cohort=result.cohort, mature=result.mature, reached=step.reached, within=step.within.reached,
            lapsed=step.lapsed, ended=step.ended, still=step.still,
        )
        for step in result.steps
    ]  # fmt: skip


@given(
    logs=logs_of_customers,
    phases=steps_of_funnels,
    window_us=windows,
    unit=st.sampled_from([CYCLE, CUSTOMER]),
    data=st.data(),
)
def test_a_funnel_is_a_naive_count(
    logs: list[list[Touchpoint]], phases: list[int], window_us: int | None, unit: int, data: st.DataObject
) -> None:
    now_us = data.draw(watermarks([event for log in logs for event in log]))
    by_customer = [counts_of(log, now_us, unit) for log in logs]
    counts = [count for of_customer in by_customer for count in of_customer]
    days = days_until(now_us)
    whole = funnel(counts, days, phases, window_us, unit)
    expected = [Counter[str]() for _ in phases[1:]]
    for log in logs:
        _, transitions = walk(naive_model("seven_phase"), log, now_us)
        for sums, of_customer in zip(expected, naive_steps(transitions, phases, window_us, now_us, unit), strict=True):
            sums.update(of_customer)
    assert [+numbers for numbers in numbers_of(whole)] == [+numbers for numbers in expected]
    for numbers in numbers_of(whole):
        assert numbers["cohort"] == sum(numbers[name] for name in ("reached", "lapsed", "ended", "still"))
    # The parts of a breakdown (one value each), and the days one by one, add up to the whole.
    parts = [funnel(of_customer, days, phases, window_us, unit) for of_customer in by_customer]
    each_day = [
        funnel(counts, [day], phases, window_us, unit) for day in days if any(c.day_us == day.start_us for c in counts)
    ]
    for group in (parts, each_day):
        summed = [Counter[str]() for _ in phases[1:]]
        for part in group:
            for total, numbers in zip(summed, numbers_of(part), strict=True):
                total.update(numbers)
        assert [+numbers for numbers in summed] == [+numbers for numbers in numbers_of(whole)]


@given(logs=logs_of_customers, phase=st.integers(1, 6), window_us=windows, data=st.data())
def test_stays_add_up_and_are_those_of_a_naive_count(
    logs: list[list[Touchpoint]], phase: int, window_us: int | None, data: st.DataObject
) -> None:
    now_us = data.draw(watermarks([event for log in logs for event in log]))
    days = days_until(now_us)
    counts = [count for log in logs for count in counts_of(log, now_us, CYCLE)]
    whole = stays(counts, days, phase, window_us)
    expected: Counter[str] = Counter()
    for log in logs:
        for cycle in cycles(walk(naive_model("seven_phase"), log, now_us)[1]):
            for number, step in enumerate(cycle):
                if step.kind == LAPSE or step.target != phase or not is_in_span(step.at_us):
                    continue
                end = cycle[number + 1] if number + 1 < len(cycle) else None
                expected["still" if end is None else "advanced" if end.kind != LAPSE else "gone"] += 1
    assert whole.still == expected["still"]
    assert sum(whole.advanced.values()) == expected["advanced"]
    assert whole.lapsed + whole.ended == expected["gone"]
    assert whole.lapsed_within <= whole.mature <= whole.entered
    assert whole.lapsed_within <= whole.lapsed
    curve = spells(counts, days, phase).curve
    for number, survival in enumerate(curve.survival):
        assert survival + sum(shares[number] for shares in curve.incidence.values()) == pytest.approx(1)
    for shares in curve.incidence.values():
        assert list(shares) == sorted(shares)
    against = against_others(whole, whole)
    assert (against.mature, against.rate, against.is_shown) == (0, None, False)


@given(logs=logs_of_customers, phases=steps_of_funnels, window_us=windows, later_us=st.integers(0, 500 * DAY_US))
def test_time_alone_only_settles(
    logs: list[list[Touchpoint]], phases: list[int], window_us: int | None, later_us: int
) -> None:
    """A later present makes entries mature, and who was on the way lapse. It takes nobody back."""
    now_us = max((event.occurred_us for log in logs for event in log), default=START_US)
    before, after = (
        funnel([count for log in logs for count in counts_of(log, at_us, CYCLE)], days_until(at_us), phases, window_us)
        for at_us in (now_us, now_us + later_us)
    )
    assert after.cohort == before.cohort
    assert after.mature >= before.mature
    for step, earlier in zip(after.steps, before.steps, strict=True):
        assert step.reached == earlier.reached
        assert step.ended == earlier.ended
        assert step.lapsed >= earlier.lapsed
        assert step.within.reached >= earlier.within.reached


@pytest.mark.parametrize("zone", ["UTC", "Pacific/Auckland", "America/St_Johns"])
def test_the_zone_of_the_process_is_in_no_number(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = [
        Touchpoint(START_US + day * DAY_US, 0, f"m{day}", "ada", "track", name, order_id=f"o{day}")
        for day, name in enumerate(["Session Start", "Product Viewed", "Product Added", "Order Completed"])
    ]
    now_us = START_US + 30 * DAY_US
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        result = funnel(counts_of(log, now_us, CYCLE), days_until(now_us), (1, 3, 4), 7 * DAY_US)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (result.cohort, [step.reached for step in result.steps]) == (1, [1, 1])


PRINTED = """
from tests.property.analytics.test_numbers import printed_numbers
print(printed_numbers())
"""


def printed_numbers() -> str:
    """A funnel, and the curve of stays, of a few customers."""
    names = ["Session Start", "Product Viewed", "Product Added", "Order Completed"]
    logs = [
        [
            Touchpoint(
                START_US + day * DAY_US, 0, f"m{day}", f"c{last}", "track", name, order_id=f"o{day}", channel=name
            )
            for day, name in enumerate(names[:last])
        ]
        for last in range(1, 5)
    ]
    now_us = START_US + 60 * DAY_US
    counts = [count for log in logs for count in counts_of(log, now_us, CYCLE)]
    days = days_until(now_us)
    return repr((funnel(counts, days, (1, 3, 4), 7 * DAY_US), spells(counts, days, 1)))


@pytest.mark.parametrize(
    "environment", [{"PYTHONHASHSEED": "1", "LC_ALL": "C"}, {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"}]
)
def test_the_seed_and_the_locale_of_the_process_are_in_no_number(environment: dict[str, str]) -> None:
    root = Path(__file__).parents[3]
    command = [sys.executable, "-c", PRINTED]
    output = subprocess.run(command, cwd=root, env=os.environ | environment, capture_output=True, text=True, check=True)
    assert output.stdout.strip() == printed_numbers()
