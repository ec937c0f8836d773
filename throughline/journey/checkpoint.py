"""Folding long histories: a state is put aside now and then, so that a late event need not fold from the beginning."""

from collections.abc import Sequence
from typing import NamedTuple

from throughline.journey.fold import fold
from throughline.journey.model import Model
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint

EVERY = 512
"""Touchpoints between checkpoints."""


class Advanced(NamedTuple):
    """What folding some touchpoints gives; as `Folded`, and:"""

    journey: Journey | None
    transitions: list[Transition]
    revoked: Transition | None
    checkpoints: list[Journey]
    """States on the way, before the clock was asked."""
    since: int
    """Touchpoints folded since the last of them."""


def advance(
    model: Model, journey: Journey | None, touchpoints: Sequence[Touchpoint], watermark_us: int, since: int = 0
) -> Advanced:
    """Fold touchpoints (sorted, distinct, all later than the journey) and let the clock pass to `watermark_us`."""
    count = len(touchpoints)
    if since + count < EVERY:
        folded = fold(model, journey, touchpoints, watermark_us)
        return Advanced(*folded, [], since + count)
    checkpoints: list[Journey] = []
    transitions: list[Transition] = []
    revoked: Transition | None = None
    done = 0
    while done < count:
        upto = min(count, done + max(1, EVERY - since))
        folded = fold(model, journey, touchpoints[done:upto])
        journey = folded.journey
        transitions += folded.transitions
        revoked = revoked or folded.revoked
        since += upto - done
        done = upto
        if since >= EVERY and journey is not None:
            checkpoints.append(journey)
            since = 0
    settled = fold(model, journey, (), watermark_us)
    return Advanced(settled.journey, transitions + settled.transitions, revoked, checkpoints, since)
