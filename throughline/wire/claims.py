"""Claims of persons on the log: to be erased, or to get a copy of what is stored. They travel among the touchpoints.

A claim names ids by their digests only, so that the log learns no id from it.
"""

import json
from typing import NamedTuple

from throughline.wire.codec import Touchpoint, UndecodableError, encode

ERASE, COPY = "erase", "copy"
CLAIMS = frozenset((ERASE, COPY))
"""The calls of claims."""
MAX_DIGESTS = 1_000
"""Maximum number of ids that one record names."""


class Claim(NamedTuple):
    """One record of a claim. A claim on many ids has several records under one name."""

    call: str
    workspace: int
    name: str
    """Tells the claim from others of its workspace."""
    at_us: int
    """When it was made: an erasure is about what was received until then, and about all that comes unless `once`."""
    digests: tuple[bytes, ...]
    """Digests of ids, at least one."""
    once: bool = False
    """Whether the ids may come back."""
    is_whole: bool = False
    """Whether the ids are all ids of their customers; else they are those that somebody named."""

    @property
    def key(self) -> bytes:
        """The record's key: all records of one claim on one id lie in one partition."""
        return self.digests[0].hex().encode()


def encode_claim(claim: Claim) -> bytes:
    """Returns the Kafka value of a claim."""
    content = {"digests": [digest.hex() for digest in claim.digests], "once": claim.once, "whole": claim.is_whole}
    return encode(
        Touchpoint(
            claim.at_us,
            0,
            claim.name,
            claim.key.decode(),
            claim.call,
            "",
            claim.workspace,
            received_us=claim.at_us,
            rest=json.dumps(content),
        )
    )


def claim_of(touchpoint: Touchpoint) -> Claim:
    """Returns the claim that a decoded record with one of `CLAIMS` is.

    Raises:
        UndecodableError: it is none.
    """
    try:
        content = json.loads(touchpoint.rest)
        digests = tuple(bytes.fromhex(digest) for digest in content["digests"])
        once, is_whole = bool(content["once"]), bool(content["whole"])
    except (ValueError, KeyError, TypeError) as error:
        raise UndecodableError("undecodable", "rest", f"not a claim: {error}") from None
    if not digests or len(digests) > MAX_DIGESTS or any(len(digest) != 16 for digest in digests):
        raise UndecodableError("undecodable", "rest", f"a claim names 1 to {MAX_DIGESTS} digests of 16 bytes")
    t = touchpoint
    return Claim(t.call, t.workspace, t.message_id, t.received_us, digests, once, is_whole)
