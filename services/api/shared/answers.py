"""What all answers are made of. The type of an answer is its schema in the OpenAPI document: there is no second one.

A subclass of `Answer` names the fields of one JSON object, in their order. `msgspec.Meta` adds a description and
examples, which OpenAPI shows. `responses.py` sends answers, `openapi.py` describes them.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Annotated, Any, ClassVar, Generic, NamedTuple, TypeVar

import msgspec
from msgspec import Meta

from services.api.shared.queries import MAX_COUNTED
from throughline.kit.clock import rfc3339

A_co = TypeVar("A_co", bound="Answer", covariant=True)


class Answer(msgspec.Struct, forbid_unknown_fields=True):
    """One JSON object of an answer; it has these fields and no others."""

    TABLE: ClassVar[str] = ""
    """The list that CSV shows of the answer, such as `items`, or `steps.phases` for lists within a list; "": none."""

    def table_items(self) -> Iterable[Any]:
        """The items of the first list of `TABLE`."""
        items: Iterable[Any] = getattr(self, self.TABLE.partition(".")[0])
        return items


Instant = Annotated[str, Meta(examples=["2026-11-23T20:28:33.120001Z"], extra_json_schema={"format": "date-time"})]
"""RFC 3339 in UTC, with up to six decimals."""

SettledUntil = Annotated[
    Instant | None,
    Meta(
        description="watermark: everything received, and every lapse due, before this instant is in the answer; null: "
        "nothing has been staged yet"
    ),
]
HistoryFrom = Annotated[
    Instant | None,
    Meta(description="retention cutoff: touchpoints that occurred before this instant are deleted; null: none are"),
]
MinCell = Annotated[
    int | None,
    Meta(
        description="counts of fewer customers are withheld: every number is a sum of cells rounded down to multiples "
        "of it, and 0 may stand for up to one less; null: all counts are exact",
        examples=[None],
    ),
]
ModelName = Annotated[str, Meta(description="the phase model of this answer", examples=["seven_phase"])]
NextCursor = Annotated[
    str | None, Meta(description="`cursor` of the next page; null: this is the last", examples=[None])
]
Total = Annotated[
    int | None,
    Meta(
        description="number of items on all pages; null: not counted, on pages after the first, and where counting "
        "takes long",
        examples=[1840],
    ),
]
TotalIsExact = Annotated[
    bool, Meta(description=f"false: more than `total`, which is {MAX_COUNTED:,} then, or not counted", examples=[True])
]


class CountedTotal(NamedTuple):
    """The number of items of a list, as far as it was counted."""

    total: int | None
    is_exact: bool


NOT_COUNTED = CountedTotal(None, is_exact=False)


def counted_total(counted: int | None, is_kept: bool = False) -> CountedTotal:
    """The total of a list.

    Args:
        counted: what `count_in_time` has counted; None: nothing.
        is_kept: whether it is a kept count, however large.
    """
    is_exact = counted is not None and (is_kept or counted <= MAX_COUNTED)
    return CountedTotal(counted if counted is None or is_exact else MAX_COUNTED, is_exact)


class EncodedAnswer(NamedTuple, Generic[A_co]):
    """An answer as JSON, ready to be sent to many clients."""

    body: bytes
    etag: str
    """Changes when the answer changes in more than its `as_of`."""
    as_of: str | None


def instant(us: int | None) -> str | None:
    """RFC 3339 of microseconds since the epoch; None for None."""
    return None if us is None else rfc3339(us)


def weak_etag(state: object) -> str:
    """An ETag that is equal for equal states. Weak (RFC 9110, 8.8.1): answers with one ETag may differ in `as_of`."""
    return f'W/"{blake2b(msgspec.json.encode(state), digest_size=12).hexdigest()}"'


def matches_etag(header: str, etag: str) -> bool:
    """Whether an If-None-Match or Last-Event-ID header (one ETag, a list of them, or `*`) contains `etag`.

    By the weak comparison of RFC 9110, 8.8.3.2; quotes may be missing.
    """
    return any(tag.strip() == "*" or _opaque(tag) == _opaque(etag) for tag in header.split(","))


def _opaque(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
