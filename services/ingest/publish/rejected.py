"""Refused events as the rejected topic keeps them: whole, why, and what each can be sent alone in. Pure."""

from collections.abc import Sequence

from services.ingest.dialects.base import Item, Opened
from services.ingest.dialects.envelope import Body, envelope_of
from services.ingest.event.verdict import MAX_MESSAGE_ID, MAX_TEXT
from services.ingest.validate.privacy import of_refused
from services.ingest.validate.touchpoint import Result
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import NO_ENVELOPE, Envelope, Rejected

MAX_RECORD_BYTES = 900_000
"""Of an event and what it is sent in: a broker takes a million. No body is as large, but what is made of it may be."""
MAX_ENVELOPES_BYTES = 16 * 1024 * 1024
"""Of all that the refused events of one request are sent in, which is the same for each."""

_UNSAID = ("", "")


def rejected_records(
    found: Result, opened: Body | Opened, source: SourceKey, received_us: int, request: str, replay_of: Sequence[str]
) -> list[Rejected]:
    """The records of a request's refused and dropped events. `request` is its method and path; `replay_of` says which
    record each of its events was sent again of, empty for events that are new.
    """
    envelope = _envelope(opened, source.settings.ip)
    around = len(envelope.before) + len(envelope.after)
    room = MAX_ENVELOPES_BYTES
    records: list[Rejected] = []
    positions = [number for number, one in enumerate(found.verdicts) if one is not None and one.verdict == "rejected"]
    for number, (verdict, payload) in zip(positions, found.refused, strict=True):
        said = _UNSAID if isinstance(opened, Body) else _said(opened.items[number])
        name, message_id = said if payload else _UNSAID
        # Where nothing of an event may be kept, nothing that its request says of it may be.
        has_one = bool(payload) and len(payload) + around <= MAX_RECORD_BYTES and around <= room
        room -= around if has_one else 0
        records.append(
            Rejected(
                *(source.workspace, source.source, received_us, "ingest"),
                *(verdict.code, verdict.field, verdict.message, payload[:MAX_RECORD_BYTES]),
                name=name,
                message_id=message_id,
                request=request,
                envelope=envelope if has_one else NO_ENVELOPE,
                replay_of=replay_of[number] if replay_of else "",
            )
        )
    for verdict, name in found.dropped:
        values = (source.workspace, source.source, received_us, "consent", verdict.code, "", "", b"")
        records.append(Rejected(*values, name=name))
    return records


def _envelope(opened: Body | Opened, ip: str) -> Envelope:
    if isinstance(opened, Body):
        found = envelope_of(opened)
    elif opened.envelope is None:
        return NO_ENVELOPE
    else:
        found = opened.envelope()
    # What neighbours share holds addresses too: a batch's context, GA4's ip_override.
    return found._replace(before=of_refused(found.before, ip))


def _said(item: Item) -> tuple[str, str]:
    """The name and message id of a refused event, where its dialect has found out: GA4 derives an id of the request.

    Segment's events say both themselves.
    """
    event = item.event
    if event is None:
        return _UNSAID
    return _text(event.event or event.name, MAX_TEXT), _text(event.messageId, MAX_MESSAGE_ID)


def _text(value: str | None, most: int) -> str:
    """A text that can be kept and is not too long, else ""."""
    if not value or len(value) > most or "\0" in value:
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return ""
    return value
