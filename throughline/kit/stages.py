"""The stage of a rejected event: what rejected or dropped it."""

from enum import StrEnum


class RejectionStage(StrEnum):
    """The value of `stage` in a record of the rejected topic, and in the tables of rejected events."""

    INGEST = "ingest"
    STAGER = "stager"
    CONSENT = "consent"
    """Dropped, for want of consent or because the id is suppressed: counted, and nothing of them is kept."""
    REPLAY = "replay"
    """Rejects nothing: the payload says which records were sent again, and what became of them."""
