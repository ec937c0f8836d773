"""A request's body: received within limits of time and memory, and unpacked when it is gzip."""

import asyncio

from starlette.types import Message, Receive

from services.ingest.event.gzip import GZIP_MAGIC, too_large, unpack
from services.ingest.event.verdict import MAX_BODY_BYTES
from throughline.kit.errors import ServiceError


async def read_body(receive: Receive, seconds: float) -> bytes | None:
    """Returns a request's body, unpacked; None if its client hung up before any of it came.

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


async def read_rest(receive: Receive, message: Message) -> bytes:
    """Returns the whole body, whose first part is `message`.

    Raises:
        ServiceError: 400, it is longer than `MAX_BODY_BYTES`, or the client hung up.
    """
    parts = bytearray(message.get("body", b""))
    while message.get("more_body", False):
        if len(parts) > MAX_BODY_BYTES:
            raise too_large()
        message = await receive()
        if message["type"] == "http.disconnect":
            raise incomplete_body()
        parts += message.get("body", b"")
    return bytes(parts)


def incomplete_body() -> ServiceError:
    """Returns the error of a request whose client hung up in the middle of its body."""
    return ServiceError(400, "incomplete_body", "the connection was closed before the body was complete")
