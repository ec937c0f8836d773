"""The answer of `/v1/identity/suspects`. Pure."""

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.shared.answers import Answer, Instant, NextCursor
from throughline.kit.clock import rfc3339
from throughline.store.identity_suspects import Suspect, SuspectReason


class IdentitySuspect(Answer):
    """An id with links that were not made. Its events count."""

    id: Annotated[str, Meta(examples=["undefined-user"])]
    reason: Annotated[
        Literal["customer_ids", "id_links"],
        Meta(description="customer_ids: its customer has as many ids as it may; id_links: it has as many links"),
    ]
    refused_links: Annotated[int, Meta(description="links that were not made", examples=[1200])]
    first_seen: Annotated[Instant, Meta(description="when the event of the first of these was received")]
    last_seen: Instant


class IdentitySuspects(Answer):
    """A page of suspects, newest first."""

    TABLE: ClassVar[str] = "items"

    items: list[IdentitySuspect]
    next_cursor: NextCursor


def suspect_answer(suspect: Suspect) -> IdentitySuspect:
    """One id."""
    return IdentitySuspect(
        id=suspect.name,
        reason="id_links" if suspect.reason == SuspectReason.ID_LINKS else "customer_ids",
        refused_links=suspect.refused,
        first_seen=rfc3339(suspect.first_us),
        last_seen=rfc3339(suspect.last_us),
    )
