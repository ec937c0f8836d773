"""Segment's HTTP API: the events of a body to touchpoints with a verdict per event. Pure.

The usual event is decoded straight into `Event` (`event.py`, which also reads the unusual ones); a body that is not
clean JSON goes through `careful.py`. Every event ends in `touchpoint.build`.
"""

from collections.abc import Callable

import msgspec
from msgspec import Raw

from services.ingest.dialects.batch import Batch
from services.ingest.dialects.envelope import Body, size_of
from services.ingest.event.event import read_event
from services.ingest.event.verdict import DroppedError, RefusedError, Verdict, refuse
from services.ingest.validate import consent as consents
from services.ingest.validate.privacy import SHORTEN, of_refused
from services.ingest.validate.touchpoint import Result, build, look_closely, measure
from throughline.kit.clock import MIN_US
from throughline.wire.codec import Touchpoint

_NOTHING = Raw()


def judge(
    body: Body,
    *,
    workspace: int,
    source: int,
    received_us: int,
    new_id: Callable[[], str],
    ip: str = SHORTEN,
    retention_cutoff_us: int = MIN_US,
    consent: str = consents.OFF,
) -> Result:
    """A verdict for every event of a body, and the touchpoints of those that are kept. Never raises for an event.

    `new_id` gives a random message id for an event that has neither its own nor a time to derive one from; `ip`
    says what is kept of addresses, one of `privacy.MODES`; what occurred before `retention_cutoff_us` is refused;
    `consent`, one of `consent.MODES`, says what becomes of events without.
    """
    touchpoints: list[Touchpoint] = []
    verdicts: list[Verdict | None] = []
    refused: list[tuple[Verdict, bytes]] = []
    dropped: list[tuple[Verdict, str]] = []
    batch = Batch(
        *(body.call, body.sent_us, workspace, source, received_us, new_id, ip, retention_cutoff_us, consent),
        *(body.context, body.integrations),
    )
    batch.shared = size_of(body.context, body.integrations)
    if body.context:
        batch.look_at_context(_NOTHING)
    defects = body.defects
    for number, raw in enumerate(body.events):
        try:
            if defects and number in defects:
                raise RefusedError(*defects[number][1:])
            notes: list[Verdict] = []
            touchpoints.append(_read(raw, batch, notes))
        except RefusedError as error:
            verdicts.append(error.verdict)
            verdict, kept = consents.refused(error.verdict, bytes(raw), consent, body.context)
            refused.append((verdict, of_refused(kept, ip)))
        except DroppedError as error:
            verdicts.append(error.verdict)
            dropped.append((error.verdict, error.name))
        else:
            verdicts.append(notes[0] if notes else None)
    return Result(touchpoints, verdicts, refused, dropped)


def _read(raw: Raw, batch: Batch, notes: list[Verdict]) -> Touchpoint:
    measure(raw)
    try:
        event, extra = read_event(raw, notes)
        return build(event, raw, batch, notes, extra)
    except (msgspec.DecodeError, RecursionError):
        # JSON the decoder can not hold: most likely a number out of range.
        look_closely(raw)
        refuse("unreadable", "", "the event can not be read")
