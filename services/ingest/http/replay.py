"""Events that are replayed: somebody kept them after they were received, and sends them again. Pure.

`X-Throughline-Received-At` says when they were first received: their times are judged as at that instant. The two other
headers have an entry for each event, in their order, with commas between. `X-Throughline-Message-Id` gives the event's
id, whatever the event says itself (percent-encoded; empty for the event's own). `X-Throughline-Replay-Of` names the
record of the rejected topic that holds the event: an event without an id gets one made of it, and an event that is
rejected again has it in its new record.
"""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote

from msgspec import structs

from services.ingest.event import times
from services.ingest.event.ids import clean_id
from services.ingest.event.verdict import MAX_MESSAGE_ID, MAX_TEXT, RejectedError, Verdict
from services.ingest.validate.request import Result
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

RECEIVED_AT = b"x-throughline-received-at"
MESSAGE_ID = b"x-throughline-message-id"
REPLAY_OF = b"x-throughline-replay-of"
"""Names of headers, in lower case. Without the first the others are ignored."""


class Replay(NamedTuple):
    """What the headers of a request say of events that are sent again."""

    received_us: int
    """When the events were first received; never in the future."""
    message_ids: list[str]
    """For each event, or empty."""
    replay_of: list[str]
    """For each event, or empty."""


def read_replay(headers: Mapping[bytes, bytes], now_us: int) -> Replay:
    """Returns what a request's headers say, of which one is `RECEIVED_AT`.

    Raises:
        ServiceError: 400, one of them cannot be read.
    """
    try:
        time = times.parse(headers[RECEIVED_AT].decode("latin-1"), "X-Throughline-Received-At")
        received_us = None if time is None else times.instant(time, "X-Throughline-Received-At")
    except RejectedError:
        received_us = None
    if received_us is None:
        raise _wrong("X-Throughline-Received-At", "it has to be an RFC 3339 time, such as 2026-11-23T20:28:33.12Z")
    message_ids = [unquote(entry) for entry in _entries(headers.get(MESSAGE_ID))]
    if any(len(entry) > MAX_MESSAGE_ID or "\0" in entry for entry in message_ids):
        why = f"an id has {MAX_MESSAGE_ID} characters at most, percent-encoded, and no NUL"
        raise _wrong("X-Throughline-Message-Id", why)
    replay_of = _entries(headers.get(REPLAY_OF))
    if any(len(entry) > MAX_TEXT for entry in replay_of):
        raise _wrong("X-Throughline-Replay-Of", "each has to be topic/partition/offset of a rejected event")
    return Replay(min(received_us, now_us), [clean_id(entry) for entry in message_ids], replay_of)


def require_each(replay: Replay, events: int) -> None:
    """Check that each header has an entry for every event, or for none.

    Raises:
        ServiceError: 400, for some.
    """
    for header, entries in (("Message-Id", replay.message_ids), ("Replay-Of", replay.replay_of)):
        if entries and len(entries) != events:
            why = f"it says something of {len(entries)} events, the body has {events}"
            raise _wrong(f"X-Throughline-{header}", why)


def restamp(result: Result, replay: Replay, received_us: int, placeholder_id: str) -> Result:
    """Returns the result of events that were validated as at `replay.received_us`, as they are kept: received at
    `received_us`, with the message ids of the headers.

    `placeholder_id` is the message id of events that have neither an id nor a time to make one of.
    """
    validated = iter(result.touchpoints)
    touchpoints: list[Touchpoint] = []
    for number, verdict in enumerate(result.verdicts):
        if not _is_kept(verdict):
            continue
        touchpoint = next(validated)
        message_id = touchpoint.message_id
        if replay.message_ids and replay.message_ids[number]:
            message_id = replay.message_ids[number]
        elif replay.replay_of and message_id == placeholder_id:
            message_id = _id_of(replay.replay_of[number], replay.received_us)
        touchpoints.append(touchpoint._replace(received_us=received_us, message_id=message_id))
    return structs.replace(result, touchpoints=touchpoints)


def _is_kept(verdict: Verdict | None) -> bool:
    return verdict is None or verdict.status == "warning"


def _id_of(replay_of: str, received_us: int) -> str:
    # The time tells a record from another at the same place of a topic that was made anew.
    return blake2b(f"{replay_of}\0{received_us}".encode(), digest_size=16).hexdigest()


def _entries(header: bytes | None) -> list[str]:
    return [] if header is None else [entry.strip() for entry in header.decode("latin-1").split(",")]


def _wrong(header: str, why: str) -> ServiceError:
    return ServiceError(400, "wrong_header", f"the header {header}: {why}", field=header)
