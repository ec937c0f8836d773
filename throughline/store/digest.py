"""The 16-byte keys under which ids stand in the store."""

from hashlib import blake2b


def id_digest(workspace: int, raw_id: str) -> bytes:
    """Digest of an actor's or customer's id within its workspace: 16 bytes of BLAKE2b."""
    return blake2b(b"%d\0" % workspace + raw_id.encode(), digest_size=16).digest()


def message_digest(actor: bytes, message_id: str) -> bytes:
    """Digest of a message id under the actor with that digest: 16 bytes of BLAKE2b, unique by itself."""
    return blake2b(actor + message_id.encode(), digest_size=16).digest()
