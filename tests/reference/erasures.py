"""Which touchpoints of a log are facts when persons have been erased, from the rule."""

from collections.abc import Iterable
from typing import NamedTuple

from throughline.journey.touchpoint import Touchpoint


class Erased(NamedTuple):
    """An erasure of ids."""

    ids: frozenset[str]
    until_us: int | None
    """What was received until then; None: whatever comes."""


def remaining(log: Iterable[Touchpoint], erasures: Iterable[Erased]) -> list[Touchpoint]:
    """What is left: nothing that was received of an erased id, and nobody else's event names one."""
    everything = list(erasures)

    def is_erased(id_: str, event: Touchpoint) -> bool:
        return any(
            id_ in erasure.ids and (erasure.until_us is None or event.received_us <= erasure.until_us)
            for erasure in everything
        )

    left = []
    for event in log:
        if is_erased(event.actor, event):
            continue
        if event.call in ("unlink", "relink") and is_erased(event.previous_id, event):
            continue
        if is_erased(event.anonymous_id, event):
            event = event._replace(anonymous_id="")
        if is_erased(event.previous_id, event):
            event = event._replace(previous_id="")
        left.append(event)
    return left
