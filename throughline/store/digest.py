"""The digests of ids, under which they stand in the store: 16 bytes of BLAKE2b."""

from hashlib import blake2b


def id_digest(workspace: int, raw_id: str) -> bytes:
    """Returns the digest of an actor's or a customer's id in its workspace."""
    return blake2b(b"%d\0" % workspace + raw_id.encode(), digest_size=16).digest()


def message_digest(actor: bytes, message_id: str) -> bytes:
    """Returns the digest of a message id under the actor of a digest: unique in all workspaces."""
    return blake2b(actor + message_id.encode(), digest_size=16).digest()
