"""Bodies that were packed with gzip, whether their headers say so or not. Pure."""

import zlib

from services.ingest.event.verdict import MAX_BODY_BYTES
from throughline.kit.errors import ServiceError

GZIP_MAGIC = b"\x1f\x8b"
MAX_GZIP_MEMBERS = 16
"""Maximum number of gzip members of one body: each costs a copy of all that follows it."""


def unpack(body: bytes) -> bytes:
    """Returns the unpacked body; the first bytes decide whether it is packed, not the headers.

    No more than `MAX_BODY_BYTES` are ever unpacked.

    Raises:
        ServiceError: 400, damaged gzip, or an unpacked body of more than `MAX_BODY_BYTES`.
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
    """Returns the error of a body that is too large: 400 and not 413, which some trackers answer by sending again."""
    return ServiceError(
        400,
        "body_too_large",
        f"the body has more than {MAX_BODY_BYTES} bytes (unpacked); send fewer events at once, or a file with "
        "`throughline import`",
    )
