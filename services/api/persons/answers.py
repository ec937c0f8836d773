"""The answers of `/v1/erasures` and `/v1/exports`. Pure."""

from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.shared.answers import Answer, Instant, NextCursor, instant
from throughline.kit.clock import rfc3339
from throughline.store.erasures import Erasure


class ErasureAnswer(Answer):
    """One erasure, and how far it has come."""

    id: Annotated[str, Meta(examples=["erase-5b0c"])]
    state: Annotated[
        str,
        Meta(
            description="accepted (on the log), asked, ordered, facts, mentions, rejected, history, journeys, proof, "
            "done",
            examples=["done"],
        ),
    ]
    once: Annotated[bool, Meta(description="whether the ids may come back; else they are suppressed")]
    asked_at: Instant
    ids: Annotated[int, Meta(description="ids that are erased, as far as they have been looked up", examples=[3])]
    touchpoints: Annotated[int, Meta(description="erased so far", examples=[120])]
    done_at: Annotated[Instant | None, Meta(description="null: it goes on")]
    log_clear_at: Annotated[
        Instant | None, Meta(description="from then on Kafka holds nothing of it; null: not known here")
    ]
    proof: Annotated[
        dict[str, int],
        Meta(description="rows found in every place at the end, all 0", examples=[{"touchpoints.actor": 0}]),
    ]


class Erasures(Answer):
    """A page of erasures, newest first."""

    TABLE: ClassVar[str] = "items"

    items: list[ErasureAnswer]
    next_cursor: NextCursor


class DataRequest(Answer):
    """A person's request for a copy, as a shop has passed it on."""

    id: Annotated[int, Meta(description="for /v1/exports/{id}", examples=[1])]
    request: Annotated[str, Meta(examples=["customers/data_request:5b0c"])]
    requested_at: Instant


class DataRequests(Answer):
    """A page of requests, newest first."""

    TABLE: ClassVar[str] = "items"

    items: list[DataRequest]
    next_cursor: NextCursor


def erasure_answer(erasure: Erasure) -> ErasureAnswer:
    """One erasure that is staged."""
    return ErasureAnswer(
        id=erasure.name,
        state=str(erasure.state),
        once=erasure.once,
        asked_at=rfc3339(erasure.until_us),
        ids=len(erasure.digests),
        touchpoints=erasure.touchpoints,
        done_at=instant(erasure.done_us),
        log_clear_at=instant(erasure.clear_us),
        proof=erasure.proof,
    )
