"""Rejected events as the rejected topic keeps them: whole, why, and the request that sends each again. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import ParsedRequest, ReplayRequest, Rules
from services.ingest.event.verdict import MAX_MESSAGE_ID, MAX_TEXT
from services.ingest.validate.named_fields import NamedFields, named_fields
from services.ingest.validate.privacy import kept_of_rejected
from services.ingest.validate.request import Result
from throughline.kit.stages import RejectionStage
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import NO_ENVELOPE, Envelope, Rejected

MAX_RECORD_BYTES = 900_000
"""Maximum number of bytes of an event with its envelope: a broker takes a million. No body is as large, but what is
made of it may be."""
MAX_ENVELOPES_BYTES = 4 * 1024 * 1024
"""Maximum number of bytes of the envelopes of all rejected events of one request, which are the same for each."""


def rejected_records(
    result: Result,
    request: ParsedRequest,
    source: SourceKey,
    rules: Rules,
    received_us: int,
    target: str,
    replay_of: Sequence[str],
) -> list[Rejected]:
    """Returns the records of a request's rejected and dropped events.

    `target` is the method and path of the request; `replay_of` says for each of its events which record it was sent
    again from, and is empty for events that are new.
    """
    envelope = _envelope(request, rules, source)
    envelope_bytes = len(envelope.before) + len(envelope.after)
    room = MAX_ENVELOPES_BYTES
    records: list[Rejected] = []
    for event in result.rejected:
        verdict, payload = event.verdict, event.payload
        # Where nothing of an event may be kept, nothing that its request says of it may be.
        has_envelope = bool(payload) and len(payload) + envelope_bytes <= MAX_RECORD_BYTES and envelope_bytes <= room
        room -= envelope_bytes if has_envelope else 0
        records.append(
            Rejected(
                source.workspace,
                source.source,
                received_us,
                RejectionStage.INGEST,
                verdict.code,
                verdict.field,
                verdict.message,
                payload[:MAX_RECORD_BYTES],
                name=_text(event.name, MAX_TEXT),
                message_id=_text(event.message_id, MAX_MESSAGE_ID),
                request=target,
                envelope=envelope if has_envelope else NO_ENVELOPE,
                replay_of=replay_of[event.position] if replay_of else "",
            )
        )
    for dropped in result.dropped:
        code = dropped.verdict.code
        records.append(
            Rejected(
                source.workspace,
                source.source,
                received_us,
                RejectionStage.CONSENT,
                code,
                "",
                "",
                b"",
                name=dropped.name,
            )
        )
    return records


def _envelope(request: ParsedRequest, rules: Rules, source: SourceKey) -> Envelope:
    if request.replay_request is None:
        return NO_ENVELOPE
    replay = request.replay_request()
    # What events share holds addresses and named members too: a batch's context, a client's own.
    before, after = _around(replay, rules, named_fields(source, rules, request.names))
    before = kept_of_rejected(before, source.settings.ip, rules)
    return Envelope(replay.path, replay.content_type, replay.library, before, after)


def _around(replay: ReplayRequest, rules: Rules, named: NamedFields | None) -> tuple[bytes, bytes]:
    """Returns the bytes of a body before and after its one event; write keys are left out."""
    if replay.member is None:
        return b"", b""
    if not replay.member:
        return b"[", b"]"
    shared: Mapping[str, Any] = {name: part for name, part in replay.shared.items() if name not in rules.key_names}
    if named is not None:
        shared = named.members({name: Raw(msgspec.json.encode(part)) for name, part in shared.items()})
    return _list_prefix(shared, replay.member), b"]}"


def _list_prefix(shared: Mapping[str, Any], member: str) -> bytes:
    """Returns an object with these members and a list `member`, as JSON up to the list's first element."""
    members = msgspec.json.encode(shared)[:-1]
    return members + (b"," if shared else b"") + msgspec.json.encode(member) + b":["


def _text(value: str | None, max_length: int) -> str:
    """Returns a text that can be kept and is not too long, "" for any other."""
    if not value or len(value) > max_length or "\0" in value:
        return ""
    try:
        value.encode()
    except UnicodeEncodeError:
        return ""
    return value
