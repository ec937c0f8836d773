"""The 16-byte keys under which ids stand in the store."""

from hashlib import blake2b


def id_digest(workspace: int, raw_id: str) -> bytes:
    """Digest of an actor's or customer's id within its workspace: 16 bytes of BLAKE2b."""
    return blake2b(b"%d\0" % workspace + raw_id.encode(), digest_size=16).digest()


def message_digest(message_id: str) -> bytes:
    """Digest of a message id (unique only under one actor): 16 bytes of BLAKE2b."""
    return blake2b(message_id.encode(), digest_size=16).digest()
