"""Records of one partition to rows and facts by actor. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from services.stager.stage.changes import Workspace
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest, message_digest
from throughline.wire.codec import Rejected, UndecodableError, decode

Workspaces = Mapping[int, Workspace]
"""Workspace id -> what is applied in it."""


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


Row = tuple[Any, ...]
"""One fact as `TOUCHPOINT_COLUMNS`: actor digest, message digest, ..."""


class Actor(NamedTuple):
    """One actor of a batch."""

    workspace: int
    id: str
    touchpoints: dict[bytes, Touchpoint]
    """Message digest -> touchpoint, in order of arrival."""


class Batch(NamedTuple):
    """One partition's records, ready to be staged."""

    actors: dict[bytes, Actor]
    """By digest."""
    rows: list[Row]
    """Distinct facts, sorted by key: of a message id that comes twice, the first in the log."""
    repeats: list[Row]
    """What came again within the batch."""
    rejected: list[Rejected]
    arrived: Mapping[tuple[int, bool], list[Touchpoint]]
    """(source, whether ingest warned of it) -> touchpoints, in order of arrival, those that came again too."""


def record_digest(record: Record) -> bytes:
    """16 bytes that tell a record from another at the same offset of a recreated topic."""
    return blake2b(b"%d\0" % record.timestamp + (record.value or b""), digest_size=16).digest()


def prepare(records: Iterable[Record], workspaces: Workspaces, *, topic: str, partition: int) -> Batch:
    """Decode and group one partition's records. What cannot be staged is in `rejected`, with its reason."""
    actors: dict[bytes, Actor] = {}
    rows: list[Row] = []
    repeats: list[Row] = []
    rejected: list[Rejected] = []
    arrived: defaultdict[tuple[int, bool], list[Touchpoint]] = defaultdict(list)
    known: dict[tuple[int, str], tuple[bytes, int, dict[bytes, Touchpoint]]] = {}
    for record in records:
        try:
            touchpoint = decode(record.value or b"")
            who = (touchpoint.workspace, touchpoint.actor)
            if who not in known:
                known[who] = _introduce(actors, workspaces, *who)
            actor, retention_cutoff_us, touchpoints = known[who]
            if touchpoint.occurred_us < retention_cutoff_us:
                raise UndecodableError(
                    "before_horizon", "occurred_us", "it happened before what this workspace keeps (retention)"
                )
        except UndecodableError as error:
            rejected.append(reject(record, error.code, error.field, str(error), topic=topic, partition=partition))
            continue
        message = message_digest(actor, touchpoint.message_id)
        row = row_of(actor, message, touchpoint)
        arrived[touchpoint.source, touchpoint.warnings != ()].append(touchpoint)
        if message in touchpoints:
            repeats.append(row)
        else:
            touchpoints[message] = touchpoint
            rows.append(row)
    rows.sort()
    return Batch(actors, rows, repeats, rejected, arrived)


def _introduce(
    actors: dict[bytes, Actor], workspaces: Workspaces, workspace: int, name: str
) -> tuple[bytes, int, dict[bytes, Touchpoint]]:
    applied = workspaces.get(workspace)
    if applied is None:
        raise UndecodableError("unknown_workspace", "workspace", f"there is no workspace {workspace}")
    digest = id_digest(workspace, name)
    touchpoints: dict[bytes, Touchpoint] = {}
    actors[digest] = Actor(workspace, name, touchpoints)
    return digest, applied.retention_cutoff_us, touchpoints


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


def row_of(actor: bytes, message: bytes, t: Touchpoint) -> Row:
    """A touchpoint as it is stored: under the digests of its actor and message id."""
    (occurred_us, message_id, _, call, name, _, source, channel, received_us, _, user_id, anonymous_id, previous_id) = (
        t[:13]
    )
    (order_id, value, currency, rating, score, product_id, quantity, _, rest, bot, attribution) = t[13:]
    return (
        actor,
        message,
        occurred_us,
        received_us,
        source,
        channel,
        call,
        name,
        message_id,
        user_id or None,
        anonymous_id or None,
        previous_id or None,
        order_id or None,
        value,
        currency or None,
        rating,
        score,
        product_id or None,
        quantity,
        rest,
        bot,
        attribution or None,
    )


def content(row: Row) -> Row:
    """What an event says, whenever and through whichever key it was sent: what a repeated message id is compared by.

    Times, source, channel and attribution are left out: a client that sends an event again may have its clock corrected
    differently.
    """
    return row[6:-1]
