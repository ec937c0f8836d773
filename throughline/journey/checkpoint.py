"""Folding long histories: the state is kept every so often, so that a late event need not fold from the beginning."""

from collections.abc import Sequence
from typing import NamedTuple

from throughline.journey.fold import fold
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow

EVERY = 512
"""Number of touchpoints between checkpoints."""


class Advanced(NamedTuple):
    """The result of folding some touchpoints: the first three fields as in `Folded`."""

    journey: Journey | None
    transitions: list[Transition]
    revoked: Transition | None
    checkpoints: list[Journey]
    """States on the way, without lapses by the watermark."""
    since: int
    """Number of touchpoints folded since the last checkpoint."""


def advance(
    model: Model,
    journey: Journey | None,
    touchpoints: Sequence[Touchpoint],
    watermark_us: int,
    since: int = 0,
    *,
    has_trail: bool = False,
) -> Advanced:
    """Fold touchpoints onto a journey as `fold` does, and return the checkpoints on the way.

    Args:
        journey: the state so far; None for a customer not seen before.
        touchpoints: sorted, distinct, all later than the journey.
        watermark_us: a lapse due by then has happened.
        since: number of touchpoints folded since the last checkpoint so far.
        has_trail: whether the journey has a trail.
    """
    trail = follow if has_trail else None
    count = len(touchpoints)
    if since + count < EVERY:
        folded = fold(model, journey, touchpoints, watermark_us, trail)
        return Advanced(*folded, [], since + count)
    checkpoints: list[Journey] = []
    transitions: list[Transition] = []
    revoked: Transition | None = None
    done = 0
    while done < count:
        upto = min(count, done + max(1, EVERY - since))
        folded = fold(model, journey, touchpoints[done:upto], 0, trail)
        journey = folded.journey
        transitions += folded.transitions
        revoked = revoked or folded.revoked
        since += upto - done
        done = upto
        if since >= EVERY and journey is not None:
            checkpoints.append(journey)
            since = 0
    at_watermark = fold(model, journey, (), watermark_us, trail)
    return Advanced(at_watermark.journey, transitions + at_watermark.transitions, revoked, checkpoints, since)
