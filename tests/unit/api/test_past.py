"""Past moments and spans as stored buckets, without a database: every change is counted once, whatever the zone."""

from collections import Counter
from datetime import tzinfo
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.history.answers import history_body, span
from services.api.phases.answers import Sums
from services.api.shared.steps import Moment, ceiling, floored, next_start, parse_instant, since, starts
from throughline.journey.durations import MINUTE_US
from throughline.journey.rollup import STEPS, Step, bucket_of, floor, kept_steps
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.models import load_model

MODEL = load_model("seven_phase")
DAY_US = 86_400_000_000
NOW_US = parse_instant("2026-11-23T20:28:33Z", "as_of")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kolkata",
        "Australia/Lord_Howe",  # watermarks move by half an hour
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
    # Where watermarks change, in one of the zones.
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


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-23T20:28:33.000001Z", "2026-11-23T20:28:33.000001Z"),
        ("2026-11-23T21:28:33+01:00", "2026-11-23T20:28:33Z"),
        ("2026-11-23T21:28:33 01:00", "2026-11-23T20:28:33Z"),  # a + that was not escaped
        ("2026-11-23t20:28:33z", "2026-11-23T20:28:33Z"),
    ],
)
def test_instants(text: str, same: str) -> None:
    assert rfc3339(parse_instant(text, "as_of")) == same


@pytest.mark.parametrize("text", ["", "now", "1790000000", "2026-11-23", "2026-11-23T20:28:33", "2026-02-30T00:00:00Z"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ServiceError, match=r"^from: .*2026-11-23T20:28:00Z") as caught:
        parse_instant(text, "from")
    assert (caught.value.status, caught.value.field) == (400, "from")


UTC = ZoneInfo("UTC")


def steps_of(step: Step, from_us: int | None = None, to_us: int | None = None, zone: tzinfo = UTC) -> list[int]:
    found = span(step, from_us, to_us, applied_watermark_us=NOW_US, latest_watermark_us=NOW_US, zone=zone)
    assert list(found.starts) == sorted(found.starts)
    assert not found.starts or next_start(step, found.starts[-1], zone) == found.end_us
    return list(found.starts)


def test_a_span_takes_whole_steps_and_none_after_now() -> None:
    assert [rfc3339(at) for at in steps_of("day", NOW_US - 2 * DAY_US)] == [
        "2026-11-21T00:00:00Z",
        "2026-11-22T00:00:00Z",
        "2026-11-23T00:00:00Z",
    ]
    assert steps_of("day", NOW_US - 2 * DAY_US, NOW_US + 9 * DAY_US) == steps_of("day", NOW_US - 2 * DAY_US)
    assert [rfc3339(at) for at in steps_of("day", NOW_US - DAY_US, NOW_US - DAY_US + 1)] == ["2026-11-22T00:00:00Z"]
    assert steps_of("hour", NOW_US + DAY_US, NOW_US + 2 * DAY_US) == []
    assert [len(steps_of(step)) for step in STEPS] == [48, 48, 48]
    assert [rfc3339(at) for at in steps_of("day", NOW_US - DAY_US, zone=ZoneInfo("Asia/Kolkata"))] == [
        "2026-11-22T18:30:00Z",
        "2026-11-23T18:30:00Z",
    ]


@pytest.mark.parametrize(
    ("step", "ago_us", "until_us", "field", "said"),
    [
        ("minute", 2 * DAY_US, None, "from", "reaches back to 2026-11-21T20:30:00Z; start there, or ask for step=hour"),
        ("minute", DAY_US + 61 * 60_000_000, None, "from", "more than 1500 steps; ask for less, or for step=hour"),
        ("hour", 91 * DAY_US, None, "from", "ask for step=day"),
        ("hour", 80 * DAY_US, None, "from", "more than 1500 steps"),
        ("day", 1600 * DAY_US, None, "from", "more than 1500 steps; ask for less"),
        ("day", 700_000 * DAY_US, None, "from", "more than 1500 steps"),
        ("hour", DAY_US, DAY_US, "to", "after from"),
    ],
)
def test_a_span_that_cannot_be_told(step: Step, ago_us: int, until_us: int | None, field: str, said: str) -> None:
    with pytest.raises(ServiceError) as caught:
        steps_of(step, NOW_US - ago_us, None if until_us is None else NOW_US - until_us)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "invalid_parameter", field)
    assert said in caught.value.message


def test_each_step_closes_as_the_next_one_opens() -> None:
    found = span(
        "hour", NOW_US - 2 * 3_600_000_000, None, applied_watermark_us=NOW_US, latest_watermark_us=NOW_US, zone=UTC
    )
    changes = {
        (found.starts[0], 0): Sums(active=2),
        (found.starts[1], 0): Sums(active=-1),
        (found.starts[1], 1): Sums(active=1, entered=1),
        (found.starts[2], 1): Sums(active=-1, lapsed=1),
    }
    body = history_body(
        MODEL, found, closing={0: Sums(active=5), 1: Sums(10, 4, 1, 20, 6)}, changes=changes,
        applied_watermark_us=NOW_US, retention_cutoff_us=None, zone_name="UTC",
    )  # fmt: skip
    steps = body["steps"]
    assert [step["customers"] for step in steps] == [
        {"opening": 13, "closing": 13},
        {"opening": 13, "closing": 14},
        {"opening": 14, "closing": 14},
    ]
    assert [step["unplaced"]["opening"] for step in steps] == [4, 6, 5]
    assert [step["phases"][0]["closing"] for step in steps] == [
        {"now": 13, "active": 10, "lapsed": 3},
        {"now": 14, "active": 11, "lapsed": 3},
        {"now": 14, "active": 10, "lapsed": 4},
    ]
    assert steps[0]["to"] == steps[1]["from"]
    for one in steps:
        for phase in one["phases"]:
            assert phase["opening"]["now"] + phase["entered"] == phase["closing"]["now"] + phase["left"]
