"""An event that was received before and is sent again by somebody who kept it: what the headers say of it. Pure.

`X-Throughline-Received-At` is when it was first received: its time is judged as at that instant. With
`X-Throughline-Message-Id` it has this id, whatever it says itself. `X-Throughline-Replay-Of` names the record of the
rejected topic that it comes from: an event without an id gets one of it, and if it is refused again its record has it.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple
from urllib.parse import unquote

from msgspec import structs

from services.ingest import times
from services.ingest.dialects.touchpoint import Result
from services.ingest.verdict import MAX_MESSAGE_ID, MAX_TEXT, RefusedError
from throughline.kit.errors import ServiceError

RECEIVED_AT = b"x-throughline-received-at"
MESSAGE_ID = b"x-throughline-message-id"
REPLAY_OF = b"x-throughline-replay-of"
"""Names of headers, in lower case. Without the first the others are not looked at."""


class Resent(NamedTuple):
    """What the headers say."""

    received_us: int
    """When it was first received; never later than now."""
    message_id: str
    replay_of: str


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
    message_id = unquote(said.get(MESSAGE_ID, b"").decode("latin-1"))
    if len(message_id) > MAX_MESSAGE_ID or "\0" in message_id:
        raise _wrong(
            "X-Throughline-Message-Id",
            f"it has to be up to {MAX_MESSAGE_ID} characters, percent-encoded, none of them NUL",
        )
    replay_of = said.get(REPLAY_OF, b"").decode("latin-1")
    if len(replay_of) > MAX_TEXT:
        raise _wrong("X-Throughline-Replay-Of", "it has to be topic/partition/offset of a refused event")
    return Resent(min(received_us, now_us), message_id, replay_of)


def require_alone(resent: Resent, events: int) -> None:
    """See that what is said of one event is not taken for several.

    Raises:
        ServiceError: 400, there are several.
    """
    if events > 1 and (resent.message_id or resent.replay_of):
        raise _wrong(
            "X-Throughline-Replay-Of", f"it and X-Throughline-Message-Id are of one event, the body has {events}"
        )


def id_of(resent: Resent) -> str:
    """The message id of an event without an id and a time of its own: the same each time it is sent again."""
    return blake2b(f"{resent.replay_of}\0{resent.received_us}".encode(), digest_size=16).hexdigest()


def received_now(found: Result, resent: Resent, received_us: int) -> Result:
    """What was judged as at `resent.received_us`, as it is kept: received now, under the id that was said."""
    touchpoints = [
        one._replace(received_us=received_us, message_id=resent.message_id or one.message_id)
        for one in found.touchpoints
    ]
    return structs.replace(found, touchpoints=touchpoints)


def _wrong(header: str, why: str) -> ServiceError:
    return ServiceError(400, "wrong_header", f"the header {header}: {why}", field=header)
