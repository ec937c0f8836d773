"""Records of one partition to rows and sorted histories. Pure."""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest, message_digest
from throughline.wire.codec import Rejected, UndecodableError, decode

Models = Mapping[int, list[tuple[int, str]]]
"""Workspace id -> the models applied in it, each (model id, model name)."""

FactKey = tuple[bytes, bytes]
"""(actor digest, message digest)."""


class Record(Protocol):
    """What is used of a Kafka record. `timestamp` in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def key(self) -> bytes | None: ...
    @property
    def value(self) -> bytes | None: ...


class Batch(NamedTuple):
    """One partition's records, ready to be staged."""

    facts: dict[FactKey, Touchpoint]
    """Distinct within the batch: the first in the log."""
    repeats: list[tuple[FactKey, Touchpoint]]
    """What came again within the batch."""
    rows: list[tuple[Any, ...]]
    """Rows of `TOUCHPOINT_COLUMNS`, sorted by key."""
    customers: dict[bytes, str]
    """Customer digest -> customer id."""
    models: dict[bytes, list[tuple[int, str]]]
    """Customer digest -> the models of its workspace."""
    rejected: list[Rejected]


def record_digest(record: Record) -> bytes:
    """16 bytes that tell a record from another at the same offset of a recreated topic."""
    return blake2b(b"%d\0" % record.timestamp + (record.value or b""), digest_size=16).digest()


def prepare(records: Iterable[Record], models: Models, *, topic: str, partition: int) -> Batch:
    """Decode and group one partition's records. What cannot be staged is in `rejected`, with its reason."""
    facts: dict[FactKey, Touchpoint] = {}
    repeats: list[tuple[FactKey, Touchpoint]] = []
    customers: dict[bytes, str] = {}
    models_of: dict[bytes, list[tuple[int, str]]] = {}
    rejected: list[Rejected] = []
    digests: dict[tuple[int, str], bytes] = {}
    for record in records:
        try:
            touchpoint = decode(record.value or b"")
            workspace = touchpoint.workspace
            actor = touchpoint.actor
            digest = digests.get((workspace, actor))
            if digest is None:
                applied = models.get(workspace)
                if applied is None:
                    raise UndecodableError("unknown_workspace", "workspace", f"there is no workspace {workspace}")
                digest = digests[workspace, actor] = id_digest(workspace, actor)
                customers[digest] = actor
                models_of[digest] = applied
        except UndecodableError as error:
            rejected.append(reject(record, error.code, error.field, str(error), topic=topic, partition=partition))
            continue
        key = (digest, message_digest(touchpoint.message_id))
        if key in facts:
            repeats.append((key, touchpoint))
        else:
            facts[key] = touchpoint
    rows = [_row(key, touchpoint) for key, touchpoint in facts.items()]
    rows.sort()
    return Batch(facts, repeats, rows, customers, models_of, rejected)


def reject(record: Record, code: str, field: str, message: str, *, topic: str, partition: int) -> Rejected:
    """A record that cannot be staged, whole, as the rejected topic keeps it."""
    return Rejected(
        workspace=0,
        source=0,
        received_us=record.timestamp * 1000,
        stage="stager",
        code=code,
        field=field,
        message=message,
        payload=record.value or b"",
        origin=f"{topic}/{partition}/{record.offset}",
    )


def _row(key: FactKey, t: Touchpoint) -> tuple[Any, ...]:
    return (
        *key,
        t.occurred_us,
        t.received_us,
        t.source,
        t.channel,
        t.call,
        t.name,
        t.message_id,
        t.user_id or None,
        t.anonymous_id or None,
        t.previous_id or None,
        t.order_id or None,
        t.value,
        t.currency or None,
        t.rating,
        t.score,
        t.product_id or None,
        t.quantity,
        t.rest,
    )


CONTENT_COLUMNS = slice(6, None)
"""The columns of a row by which a repeated message id is the same event or a conflicting one.

Times, source and channel are left out: a client that sends an event again may have its clock corrected differently."""


def content(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """What an event says, whenever and through whichever key it was sent."""
    return row[CONTENT_COLUMNS]


def content_of(touchpoint: Touchpoint) -> tuple[Any, ...]:
    """`content` of a touchpoint that has no row."""
    return content(_row((b"", b""), touchpoint))
