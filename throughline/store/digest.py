"""The digests of ids, under which they stand in the store: 16 bytes each."""

from hashlib import blake2b, sha256

DIGEST_BYTES = 16


def id_digest(workspace: int, raw_id: str) -> bytes:
    """Returns the digest of an actor's or a customer's id in its workspace."""
    return blake2b(b"%d\0" % workspace + raw_id.encode(), digest_size=DIGEST_BYTES).digest()


def message_digest(message_id: str) -> bytes:
    """Returns the digest of a message id: the first 16 bytes of SHA-256, which PostgreSQL can compute too.

    The same for every actor, so that one look-up tells which ids of a customer sent a message id. With the digest of
    its actor it names a fact.
    """
    return sha256(message_id.encode()).digest()[:DIGEST_BYTES]
