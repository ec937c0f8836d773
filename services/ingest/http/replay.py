"""Events that were received before and are sent again by somebody who kept them: what the headers say of them. Pure.

`X-Throughline-Received-At` is when they were first received: their times are judged as at that instant. The other two
have an entry for each event, in their order, with commas between: `X-Throughline-Message-Id` the id it has, whatever it
says itself (percent-encoded; empty for its own); `X-Throughline-Replay-Of` the record of the rejected topic that it is
from: an event without an id gets one of it, and if it is refused again its record has it.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote

from msgspec import structs

from services.ingest.event import times
from services.ingest.event.verdict import MAX_MESSAGE_ID, MAX_TEXT, RefusedError, Verdict
from services.ingest.validate.touchpoint import Result
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Touchpoint

RECEIVED_AT = b"x-throughline-received-at"
MESSAGE_ID = b"x-throughline-message-id"
REPLAY_OF = b"x-throughline-replay-of"
"""Names of headers, in lower case. Without the first the others are not looked at."""


class Resent(NamedTuple):
    """What the headers say."""

    received_us: int
    """When they were first received; never later than now."""
    message_ids: list[str]
    replay_of: list[str]
    """For each event, or empty."""


def read_resent(headers: Sequence[tuple[bytes, bytes]], now_us: int) -> Resent:
    """What a request's headers say, RECEIVED_AT being among them.

    Raises:
        ServiceError: 400, one of them cannot be read.
    """
    said = dict(headers)
    try:
        found = times.parse(said[RECEIVED_AT].decode("latin-1"), "X-Throughline-Received-At")
        received_us = None if found is None else times.instant(found, "X-Throughline-Received-At")
    except RefusedError:
        received_us = None
    if received_us is None:
        raise _wrong("X-Throughline-Received-At", "it has to be an RFC 3339 time, such as 2026-11-23T20:28:33.12Z")
    message_ids = [unquote(one) for one in _entries(said.get(MESSAGE_ID))]
    if any(len(one) > MAX_MESSAGE_ID or "\0" in one for one in message_ids):
        why = f"an id has {MAX_MESSAGE_ID} characters at most, percent-encoded, and no NUL"
        raise _wrong("X-Throughline-Message-Id", why)
    replay_of = _entries(said.get(REPLAY_OF))
    if any(len(one) > MAX_TEXT for one in replay_of):
        raise _wrong("X-Throughline-Replay-Of", "each has to be topic/partition/offset of a refused event")
    return Resent(min(received_us, now_us), message_ids, replay_of)


def require_each(resent: Resent, events: int) -> None:
    """See that something is said of every event, or of none.

    Raises:
        ServiceError: 400, of some.
    """
    for header, entries in (("Message-Id", resent.message_ids), ("Replay-Of", resent.replay_of)):
        if entries and len(entries) != events:
            why = f"it says something of {len(entries)} events, the body has {events}"
            raise _wrong(f"X-Throughline-{header}", why)


def received_now(found: Result, resent: Resent, received_us: int, no_id: str) -> Result:
    """What was judged as at `resent.received_us`, as it is kept: received now, under the ids that were said.

    `no_id` is the message id of those that had neither an id nor a time to make one of.
    """
    kept = iter(found.touchpoints)
    touchpoints: list[Touchpoint] = []
    for number, verdict in enumerate(found.verdicts):
        if not is_kept(verdict):
            continue
        one = next(kept)
        message_id = one.message_id
        if resent.message_ids and resent.message_ids[number]:
            message_id = resent.message_ids[number]
        elif resent.replay_of and message_id == no_id:
            message_id = _id_of(resent.replay_of[number], resent.received_us)
        touchpoints.append(one._replace(received_us=received_us, message_id=message_id))
    return structs.replace(found, touchpoints=touchpoints)


def is_kept(verdict: Verdict | None) -> bool:
    """Whether there is a touchpoint of an event."""
    return verdict is None or verdict.verdict == "warning"


def _id_of(replay_of: str, received_us: int) -> str:
    # The time tells a record from another at the same place of a topic that was made anew.
    return blake2b(f"{replay_of}\0{received_us}".encode(), digest_size=16).hexdigest()


def _entries(header: bytes | None) -> list[str]:
    return [] if header is None else [entry.strip() for entry in header.decode("latin-1").split(",")]


def _wrong(header: str, why: str) -> ServiceError:
    return ServiceError(400, "wrong_header", f"the header {header}: {why}", field=header)
