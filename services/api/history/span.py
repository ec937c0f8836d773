"""The span of a history: from which step to which. Pure."""

from collections.abc import Sequence
from datetime import tzinfo
from typing import NamedTuple

from services.api.shared.steps import DEFAULT_STEPS, MAX_STEPS, Buckets, Moment, ceiling, kept_from, since, starts
from throughline.journey.durations import HOUR_US, MINUTE_US
from throughline.journey.rollup import Step, floor
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError

_COARSER: dict[Step, Step] = {"minute": "hour", "hour": "day"}
_SHORTEST_US: dict[Step, int] = {"minute": MINUTE_US, "hour": 30 * MINUTE_US, "day": 20 * HOUR_US}
"""No hour or day is shorter, wherever clocks change."""


class Span(NamedTuple):
    """Consecutive steps: the start of each, and the end of the last."""

    step: Step
    starts: Sequence[int]
    end_us: int

    @property
    def inside(self) -> Buckets:
        """The buckets of the steps."""
        return Buckets(self.step, self.starts[0] if self.starts else self.end_us, self.end_us)

    def later(self, zone: tzinfo) -> list[Buckets]:
        """The buckets of everything after the last step."""
        return since(Moment(self.end_us, self.step), zone)


def find_span(
    step: Step,
    from_us: int | None,
    to_us: int | None,
    *,
    applied_watermark_us: int,
    latest_watermark_us: int,
    zone: tzinfo,
    max_steps: int = MAX_STEPS,
) -> Span:
    """The steps from the one that holds `from_us` to the last one that begins before `to_us`.

    No step begins after the applied watermark. Without `from_us` there are `DEFAULT_STEPS` steps, or as many as are
    kept; without `to_us` the last step holds the watermark.

    Raises:
        ServiceError: 400 `invalid_parameter`: `to` is not after `from`, or there are too many steps, or they begin
            earlier than steps of this length are kept.
    """
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise _invalid("to", "to: give an instant after from")
    end_us = ceiling(step, applied_watermark_us + 1, zone)
    if to_us is not None:
        end_us = min(ceiling(step, to_us, zone), end_us)
    begin_us = _steps_before(step, end_us, zone) if from_us is None else min(floor(step, from_us, zone), end_us)
    kept_us = kept_from(step, latest_watermark_us)
    if kept_us is not None and begin_us < kept_us:
        first_us = ceiling(step, kept_us, zone)
        if from_us is not None:
            raise _invalid(
                "from",
                f"from: history by {step} reaches back to {rfc3339(first_us)}; start there, "
                f"or ask for step={_COARSER[step]}",
            )
        begin_us = min(first_us, end_us)
    # Before the steps are counted one by one: a span of years in minutes is refused at once.
    if (end_us - begin_us) // _SHORTEST_US[step] > 2 * max_steps:
        raise _too_many(step, max_steps)
    step_starts = list(starts(step, begin_us, end_us, zone))
    if len(step_starts) > max_steps:
        raise _too_many(step, max_steps)
    return Span(step, step_starts, end_us)


def _steps_before(step: Step, end_us: int, zone: tzinfo) -> int:
    at_us = end_us
    for _ in range(DEFAULT_STEPS):
        at_us = floor(step, at_us - 1, zone)
    return at_us


def _too_many(step: Step, max_steps: int) -> ServiceError:
    fix = "ask for less" if step == "day" else f"ask for less, or for step={_COARSER[step]}"
    return _invalid("from", f"from: that is more than {max_steps} steps; {fix}")


def _invalid(field: str, message: str) -> ServiceError:
    return ServiceError(400, "invalid_parameter", message, field=field)
