"""The span of a history, and its answer."""

from datetime import tzinfo
from zoneinfo import ZoneInfo

import pytest

from services.api.history.answers import Ends, Standing, history_answer
from services.api.history.span import find_span
from services.api.shared.parameters import parse_instant
from services.api.shared.steps import next_start
from services.api.shared.sums import Sums
from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.journey.rollup import STEPS, Step
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.models import load_model

MODEL = load_model("seven_phase")
NOW_US = parse_instant("2026-11-23T20:28:33Z", "as_of")
UTC = ZoneInfo("UTC")


def steps_of(step: Step, from_us: int | None = None, to_us: int | None = None, zone: tzinfo = UTC) -> list[int]:
    span = find_span(step, from_us, to_us, applied_watermark_us=NOW_US, latest_watermark_us=NOW_US, zone=zone)
    assert list(span.starts) == sorted(span.starts)
    assert not span.starts or next_start(step, span.starts[-1], zone) == span.end_us
    return list(span.starts)


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
    ("step", "ago_us", "until_us", "field", "fault"),
    [
        ("minute", 2 * DAY_US, None, "from", "reaches back to 2026-11-21T20:30:00Z; start there, or ask for step=hour"),
        ("minute", DAY_US + 61 * MINUTE_US, None, "from", "more than 1500 steps; ask for less, or for step=hour"),
        ("hour", 91 * DAY_US, None, "from", "ask for step=day"),
        ("hour", 80 * DAY_US, None, "from", "more than 1500 steps"),
        ("day", 1600 * DAY_US, None, "from", "more than 1500 steps; ask for less"),
        ("day", 700_000 * DAY_US, None, "from", "more than 1500 steps"),
        ("hour", DAY_US, DAY_US, "to", "after from"),
    ],
)
def test_a_span_that_is_refused(step: Step, ago_us: int, until_us: int | None, field: str, fault: str) -> None:
    with pytest.raises(ServiceError) as caught:
        steps_of(step, NOW_US - ago_us, None if until_us is None else NOW_US - until_us)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "invalid_parameter", field)
    assert fault in caught.value.message


def test_each_step_closes_as_the_next_one_opens() -> None:
    span = find_span(
        "hour", NOW_US - 2 * HOUR_US, None, applied_watermark_us=NOW_US, latest_watermark_us=NOW_US, zone=UTC
    )
    changes = {
        (span.starts[0], 0): Sums(active=2),
        (span.starts[1], 0): Sums(active=-1),
        (span.starts[1], 1): Sums(active=1, entered=1),
        (span.starts[2], 1): Sums(active=-1, lapsed=1),
    }
    history = history_answer(
        MODEL, span, closing={0: Sums(active=5), 1: Sums(10, 4, 1, 20, 6)}, changes=changes,
        applied_watermark_us=NOW_US, retention_cutoff_us=None, time_zone="UTC",
    )  # fmt: skip
    steps = history.steps
    assert [step.customers for step in steps] == [Ends(13, 13), Ends(13, 14), Ends(14, 14)]
    assert [step.unplaced.opening for step in steps] == [4, 6, 5]
    assert [step.phases[0].closing for step in steps] == [Standing(13, 10, 3), Standing(14, 11, 3), Standing(14, 10, 4)]
    assert steps[0].to == steps[1].from_
    for step in steps:
        for phase in step.phases:
            assert phase.opening.now + phase.entered == phase.closing.now + phase.left
