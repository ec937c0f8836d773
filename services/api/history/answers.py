"""The history of counts: what `/v1/phases/history` says. Pure."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any, NamedTuple

from services.api.phases.answers import NONE, Sums, instant
from services.api.shared.steps import MOST_STEPS, USUAL_STEPS, Buckets, Moment, ceiling, kept_from, since, starts
from throughline.journey.model import UNPLACED, Model
from throughline.journey.rollup import Step, floor
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError

_COARSER: dict[Step, str] = {"minute": "hour", "hour": "day"}
_LEAST_LENGTH_US: dict[Step, int] = {"minute": 60_000_000, "hour": 1_800_000_000, "day": 72_000_000_000}


class Span(NamedTuple):
    """The steps of a history: the starts of each, and the end of the last."""

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


def span(
    step: Step,
    from_us: int | None,
    to_us: int | None,
    *,
    applied_watermark_us: int,
    latest_watermark_us: int,
    zone: tzinfo,
) -> Span:
    """The steps from the one that `from_us` lies in to the one before `to_us`, none of them after the watermark.

    Raises:
        ServiceError: 400 `invalid_parameter`: backwards, too many steps, or older than these steps are kept.
    """
    last_us = ceiling(step, applied_watermark_us + 1, zone)
    if from_us is not None and to_us is not None and from_us >= to_us:
        raise _wrong("to", "to: give an instant after from")
    end_us = last_us if to_us is None else min(ceiling(step, to_us, zone), last_us)
    if from_us is None:
        begin_us = _back(step, end_us, zone)
        kept_us = kept_from(step, latest_watermark_us)
        if kept_us is not None and begin_us < kept_us:
            begin_us = min(ceiling(step, kept_us, zone), end_us)
    else:
        begin_us = min(floor(step, from_us, zone), end_us)
        kept_us = kept_from(step, latest_watermark_us)
        if kept_us is not None and begin_us < kept_us:
            reach = rfc3339(ceiling(step, kept_us, zone))
            raise _wrong(
                "from",
                f"from: history by {step} reaches back to {reach}; start there, or ask for step={_COARSER[step]}",
            )
    if (end_us - begin_us) // _LEAST_LENGTH_US[step] > 2 * MOST_STEPS:
        raise _too_many(step)
    found = list(starts(step, begin_us, end_us, zone))
    if len(found) > MOST_STEPS:
        raise _too_many(step)
    return Span(step, found, end_us)


def _back(step: Step, end_us: int, zone: tzinfo) -> int:
    at_us = end_us
    for _ in range(USUAL_STEPS):
        at_us = floor(step, at_us - 1, zone)
    return at_us


def _too_many(step: Step) -> ServiceError:
    fix = "ask for less" if step == "day" else f"ask for less, or for step={_COARSER[step]}"
    return _wrong("from", f"from: that is more than {MOST_STEPS} steps; {fix}")


def _wrong(field: str, message: str) -> ServiceError:
    return ServiceError(400, "invalid_parameter", message, field=field)


Change = Mapping[tuple[int, int], Sums]
"""What changed, by the start of a step and phase number."""


def history_body(
    model: Model,
    steps: Span,
    *,
    closing: Mapping[int, Sums],
    changes: Change,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None,
    zone_name: str,
) -> dict[str, Any]:
    """The answer.

    Args:
        model: whose phases they are.
        steps: of what.
        closing: the sums at the end of the last step, by phase number.
        changes: of each step and phase.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: facts that occurred before it are gone.
        zone_name: the time zone that days follow.
    """
    numbers = [UNPLACED, *(phase.number for phase in model.phases)]
    at_end = {number: closing.get(number, NONE) for number in numbers}
    said = []
    end_us = steps.end_us
    for start_us in reversed(steps.starts):
        change = {number: changes.get((start_us, number), NONE) for number in numbers}
        at_start = {number: at_end[number].minus(change[number]) for number in numbers}
        said.append(
            {
                "from": rfc3339(start_us),
                "to": rfc3339(end_us),
                "customers": _both(*(sum(at[p.number].now for p in model.phases) for at in (at_start, at_end))),
                "unplaced": _both(at_start[UNPLACED].now, at_end[UNPLACED].now),
                "phases": [
                    {
                        "phase": phase.name,
                        "opening": _standing(at_start[phase.number]),
                        "entered": change[phase.number].entered,
                        "left": change[phase.number].left,
                        "lapsed": change[phase.number].lapsed,
                        "returned": change[phase.number].returned,
                        "closing": _standing(at_end[phase.number]),
                    }
                    for phase in model.phases
                ],
            }
        )
        at_end, end_us = at_start, start_us
    return {
        "model": model.name,
        "step": steps.step,
        "time_zone": zone_name,
        "from": rfc3339(steps.starts[0] if steps.starts else steps.end_us),
        "to": rfc3339(steps.end_us),
        "settled_until": instant(applied_watermark_us),
        "history_from": instant(retention_cutoff_us),
        "steps": said[::-1],
    }


def _standing(sums: Sums) -> dict[str, int]:
    return {"now": sums.now, "active": sums.active, "lapsed": sums.lapsed}


def _both(opening: int, closing: int) -> dict[str, int]:
    return {"opening": opening, "closing": closing}
