"""Suppressed ids among a request's events: nothing is kept of theirs, and others' events do not name them. Pure."""

from collections.abc import Container
from typing import NamedTuple

from services.ingest.event.verdict import Verdict
from services.ingest.validate.request import DroppedEvent, RejectedEvent, Result
from throughline.store.digest import id_digest
from throughline.wire.codec import Touchpoint
from throughline.wire.names import names_in

SUPPRESSED = Verdict("dropped", "suppressed", "", "the id is suppressed: nothing is kept of its events")


class _Suppressed(NamedTuple):
    workspace: int
    digests: Container[bytes]

    def has(self, id_: str) -> bool:
        return bool(id_) and id_digest(self.workspace, id_) in self.digests


def without_suppressed(result: Result, workspace: int, digests: Container[bytes]) -> Result:
    """Returns what becomes of a request's events in a workspace with suppressed ids, given by digest."""
    suppressed = _Suppressed(workspace, digests)
    touchpoints: list[Touchpoint] = []
    verdicts: list[Verdict | None] = []
    dropped = list(result.dropped)
    accepted = iter(result.touchpoints)
    for verdict in result.verdicts:
        if verdict is not None and verdict.status in ("rejected", "dropped"):
            verdicts.append(verdict)
            continue
        touchpoint = next(accepted)
        if suppressed.has(touchpoint.actor):
            verdicts.append(SUPPRESSED)
            dropped.append(DroppedEvent(SUPPRESSED, ""))
            continue
        verdicts.append(verdict)
        touchpoints.append(_without_others(touchpoint, suppressed))
    rejected = [_without_payload(event, suppressed) for event in result.rejected]
    return Result(touchpoints, verdicts, rejected, dropped)


def _without_others(touchpoint: Touchpoint, suppressed: _Suppressed) -> Touchpoint:
    actor, anonymous_id, previous_id = touchpoint.actor, touchpoint.anonymous_id, touchpoint.previous_id
    if anonymous_id and anonymous_id != actor and suppressed.has(anonymous_id):
        touchpoint = touchpoint._replace(anonymous_id="")
    if previous_id and suppressed.has(previous_id):
        touchpoint = touchpoint._replace(previous_id="")
    return touchpoint


def _without_payload(event: RejectedEvent, suppressed: _Suppressed) -> RejectedEvent:
    if not event.payload or not any(suppressed.has(name) for name in names_in(event.payload).names):
        return event
    return RejectedEvent(event.position, event.verdict, b"", event.name, event.message_id)
