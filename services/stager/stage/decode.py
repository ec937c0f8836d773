"""Records of one partition to rows and facts by actor. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import NamedTuple, Protocol

from services.stager.stage.changes import Workspace
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest, message_digest
from throughline.store.facts import FactRow, row_of
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
    rows: list[FactRow]
    """Distinct facts, sorted by key: of a message id that comes twice, the first in the log."""
    repeats: list[FactRow]
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
    rows: list[FactRow] = []
    repeats: list[FactRow] = []
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
