"""A person's claim as records of the log, for the stager. Pure."""

from services.ingest.dialects.base import ParsedClaim
from throughline.store.digest import id_digest
from throughline.wire.claims import MAX_DIGESTS, Claim, encode_claim


def claim_records(parsed: ParsedClaim, workspace: int, received_us: int) -> list[tuple[bytes, bytes]]:
    """Returns keys and values: one record, or several when the claim has very many ids."""
    digests = [id_digest(workspace, id_) for id_ in parsed.ids]
    claims = [
        Claim(parsed.call, workspace, parsed.name, received_us, tuple(digests[start : start + MAX_DIGESTS]))
        for start in range(0, len(digests), MAX_DIGESTS)
    ]
    return [(claim.key, encode_claim(claim)) for claim in claims]
