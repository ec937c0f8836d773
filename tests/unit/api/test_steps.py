"""Past moments and spans as stored buckets: every change is counted once, whatever the zone."""

from collections import Counter
from datetime import tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.shared.parameters import parse_instant
from services.api.shared.steps import Moment, ceiling, floored, next_start, since, starts
from throughline.journey.durations import DAY_US, MINUTE_US
from throughline.journey.rollup import STEPS, Step, bucket_of, floor, kept_steps

NOW_US = parse_instant("2026-11-23T20:28:33Z", "as_of")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",  # clocks move by half an hour
        "America/Sao_Paulo",  # has begun days at 1 o'clock
        "America/Havana",
        "Pacific/Apia",  # has left out a day
    )
]


minutes = st.integers(
    parse_instant("2005-01-01T00:00:00Z", "") // MINUTE_US, parse_instant("2026-11-23T20:28:00Z", "") // MINUTE_US
).map(lambda minute: minute * MINUTE_US)


around = st.builds(
    lambda day, minute: parse_instant(f"{day}T00:00:00Z", "") + minute * MINUTE_US,
    # Where clocks change, in one of the zones.
    st.sampled_from(["2026-10-25", "2026-03-29", "2026-11-01", "2026-04-05", "2017-10-15", "2011-12-30", "2018-11-04"]),
    st.integers(-2000, 2000),
)


instants = minutes | around


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("zone", ZONES, ids=str)
@given(at_us=instants)
def test_buckets_follow_each_other(step: Step, zone: tzinfo, at_us: int) -> None:
    start, following = floor(step, at_us, zone), next_start(step, at_us, zone)
    assert start <= at_us < following
    assert floor(step, following, zone) == following
    assert floor(step, following - MINUTE_US, zone) == start
    assert ceiling(step, start, zone) == start
    assert ceiling(step, start + 1, zone) == following
    assert list(starts(step, start, next_start(step, following, zone), zone)) == [start, following]


@pytest.mark.parametrize("zone", ZONES, ids=str)
@given(
    changes=st.lists(instants | st.integers(0, 200_000).map(lambda m: NOW_US - NOW_US % MINUTE_US - m * MINUTE_US)),
    asked_us=instants | st.integers(0, 100 * 1440).map(lambda m: NOW_US - m * MINUTE_US),
)
def test_a_moment_is_now_less_all_that_came_since(zone: tzinfo, changes: list[int], asked_us: int) -> None:
    stored: Counter[tuple[str, int]] = Counter()
    for minute_us in changes:
        for step in kept_steps(minute_us, NOW_US):
            stored[step, bucket_of(step, minute_us, zone)] += 1
    moment = floored(asked_us, NOW_US, zone)
    assert moment.at_us <= asked_us
    later = sum(
        number
        for buckets in since(moment, zone)
        for (step, start), number in stored.items()
        if step == buckets.step and start >= buckets.from_us and (buckets.to_us is None or start < buckets.to_us)
    )
    assert len(changes) - later == sum(minute_us < moment.at_us for minute_us in changes)


@pytest.mark.parametrize(
    ("ago_us", "step"),
    [
        (0, "minute"),
        (2 * DAY_US - 2 * MINUTE_US, "minute"),
        (2 * DAY_US, "hour"),
        (90 * DAY_US - 61 * MINUTE_US, "hour"),
        (90 * DAY_US, "day"),
        (4000 * DAY_US, "day"),
    ],
)
def test_the_finest_step_that_is_kept(ago_us: int, step: Step) -> None:
    zone = ZoneInfo("Europe/Berlin")
    asked_us = NOW_US - ago_us
    assert floored(asked_us, NOW_US, zone) == Moment(floor(step, asked_us, zone), step)
