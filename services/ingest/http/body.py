"""A request's bytes: read to the end within a limit, and unpacked when they are gzip, declared or not."""

import asyncio
import zlib
from typing import Any

from services.ingest.event.verdict import MAX_BODY_BYTES
from throughline.kit.errors import ServiceError

GZIP_MAGIC = b"\x1f\x8b"


MAX_HELD_BYTES = 256 * 1024 * 1024
"""Of all bodies that one worker has the beginning of and waits for the end: beyond it the larger ones are given up."""
SMALL_BODY_BYTES = 64 * 1024
"""So much of a body may always come."""
MAX_GZIP_MEMBERS = 16
"""Of one body: each costs a copy of all that comes after it."""


class _Held:
    """What is waited for in this process."""

    total = 0


_held = _Held()


async def read_body(receive: Any, seconds: float) -> bytes | None:
    """A request's body, unpacked; None if its client hung up before any of it came.

    Raises:
        ServiceError: 408, it did not arrive within `seconds`; 400, as `read_rest` and `unpack`.
    """
    try:
        async with asyncio.timeout(seconds):
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body: bytes = message["body"] if not message["more_body"] else await read_rest(receive, message)
    except TimeoutError:
        raise ServiceError(
            408, "slow_body", f"the body did not arrive within {seconds:g} seconds", headers={"Connection": "close"}
        ) from None
    if len(body) > MAX_BODY_BYTES or body[:2] == GZIP_MAGIC:
        return unpack(body)
    return body


async def read_rest(receive: Any, message: Any) -> bytes:
    """The whole body, whose first part is `message`.

    Raises:
        ServiceError: 400, it is longer than `MAX_BODY_BYTES`, or the client hung up; 503, too much is waited for.
    """
    parts = bytearray(message.get("body", b""))
    _held.total += len(parts)
    try:
        while message.get("more_body", False):
            if len(parts) > MAX_BODY_BYTES:
                raise too_large()
            if _held.total > MAX_HELD_BYTES and len(parts) > SMALL_BODY_BYTES:
                raise ServiceError(
                    503,
                    "unavailable",
                    "not accepted now: too many bodies are under way; send it again",
                    headers={"Retry-After": "1", "Connection": "close"},
                )
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServiceError(400, "incomplete_body", "the connection was closed before the body was complete")
            part = message.get("body", b"")
            _held.total += len(part)
            parts += part
    finally:
        _held.total -= len(parts)
    return bytes(parts)


def unpack(body: bytes) -> bytes:
    """The body as it was before it was packed; decided by its first bytes, not by headers.

    Raises:
        ServiceError: 400, damaged gzip, or more than `MAX_BODY_BYTES` once unpacked (never unpacked further than that).
    """
    if not body.startswith(GZIP_MAGIC):
        if len(body) > MAX_BODY_BYTES:
            raise too_large()
        return body
    unpacked = bytearray()
    for _ in range(MAX_GZIP_MEMBERS):
        unpacker = zlib.decompressobj(wbits=31)
        try:
            unpacked += unpacker.decompress(body, MAX_BODY_BYTES + 1 - len(unpacked))
        except zlib.error as error:
            raise ServiceError(400, "unreadable_gzip", f"the body is damaged gzip: {error}") from None
        if len(unpacked) > MAX_BODY_BYTES:
            raise too_large()
        if not unpacker.eof:
            raise ServiceError(400, "unreadable_gzip", "the body is gzip that ends too early")
        body = unpacker.unused_data
        if not body.startswith(GZIP_MAGIC):
            return bytes(unpacked)
    raise ServiceError(400, "unreadable_gzip", f"the body is gzip of more than {MAX_GZIP_MEMBERS} parts")


def too_large() -> ServiceError:
    """400 and not 413: some trackers send a 413 again and again."""
    return ServiceError(
        400,
        "body_too_large",
        f"the body has more than {MAX_BODY_BYTES} bytes (unpacked); send fewer events at once, or a file with "
        "`throughline import`",
    )
