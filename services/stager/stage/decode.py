"""Records of a round, decoded to rows of facts and grouped by actor. Pure."""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple, Protocol

from services.stager.stage.mentions import Events, Mentions, mentions_of
from services.stager.stage.models import ModelsByWorkspace, WorkspaceModels
from throughline.journey.identity import RULINGS
from throughline.journey.lapse import EVER
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.stages import RejectionStage
from throughline.store.digest import id_digest, message_digest
from throughline.store.facts import FactKey, FactRow, row_of
from throughline.wire.claims import CLAIMS, Claim, claim_of
from throughline.wire.codec import Rejected, UndecodableError, decode


class Record(Protocol):
    """The part of a Kafka record that staging reads. `timestamp` is in milliseconds."""

    @property
    def offset(self) -> int: ...
    @property
    def timestamp(self) -> int: ...
    @property
    def value(self) -> bytes | None: ...


Parts = Mapping[int, Sequence[Record]]
"""Partition -> some of its records, in order."""


class Actor(NamedTuple):
    """One actor of a batch."""

    workspace: int
    id: str
    touchpoints: dict[bytes, Touchpoint]
    """Message digest -> touchpoint, in order of arrival."""


class Arrival(NamedTuple):
    """Where touchpoints came from."""

    source: int
    partition: int
    has_warnings: bool
    """Whether ingest warned of them."""


_NONE: Mapping[Any, Any] = {}


class Batch(NamedTuple):
    """Records of some partitions, ready to be staged in one transaction."""

    actors: dict[bytes, Actor]
    """Actor digest -> actor."""
    rows: list[FactRow]
    """Facts sorted by key. Of records with the same key only the first in the log."""
    repeats: list[FactRow]
    """Rows of the other records with the same key."""
    rejected: list[Rejected]
    arrived: Mapping[Arrival, list[Touchpoint]]
    """Touchpoints in order of arrival, repeats included."""
    claims: Sequence[Claim] = ()
    """Claims of persons, in order."""
    suppressed: int = 0
    """Number of records that were left out, because their ids are suppressed."""
    events: Events = _NONE
    """Touchpoints that say something of a customer, without repeats."""
    mentions: Mentions = Mentions()
    """What these say of ids."""
    parameters: Mapping[str, str] = _NONE
    """`rows` as `facts.insert_touchpoints` takes them, if at hand."""

    @property
    def has_many_aliases(self) -> bool:
        """Whether more than a tenth of the records are aliases."""
        arrived = [touchpoint.call for of in self.arrived.values() for touchpoint in of]
        return 10 * arrived.count("alias") > len(arrived)


def record_digest(record: Record) -> bytes:
    """Returns 16 bytes that tell a record from the one at the same offset of a recreated topic."""
    return blake2b(b"%d\0" % record.timestamp + (record.value or b""), digest_size=16).digest()


_NOBODY: Mapping[bytes, int] = {}


class Preparation:
    """A batch in the making: records are added piece by piece."""

    def __init__(self, models: ModelsByWorkspace, topic: str, suppressed: Mapping[bytes, int] = _NOBODY) -> None:
        self._models = models
        self._topic = topic
        self._suppressed = suppressed
        self._suppressed_records = 0
        self._actors: dict[bytes, Actor] = {}
        self._rows: list[FactRow] = []
        self._repeats: list[FactRow] = []
        self._rejected: list[Rejected] = []
        self._claims: list[Claim] = []
        self._arrived: defaultdict[Arrival, list[Touchpoint]] = defaultdict(list)
        self._digests: dict[tuple[int, str], tuple[bytes, int, dict[bytes, Touchpoint]]] = {}

    def add(self, partition: int, records: Iterable[Record]) -> None:
        """Decode the next records of a partition."""
        models, suppressed, digests = self._models, self._suppressed, self._digests
        rows, repeats = self._rows, self._repeats
        arrived: dict[tuple[int, bool], list[Touchpoint]] = {}
        for record in records:
            try:
                touchpoint = decode(record.value or b"")
                if touchpoint.call in CLAIMS:
                    _models_of(models, touchpoint.workspace)
                    self._claims.append(claim_of(touchpoint))
                    continue
                name = (touchpoint.workspace, touchpoint.actor)
                if name not in digests:
                    digests[name] = _add_actor(self._actors, models, *name)
                actor, retention_cutoff_us, touchpoints = digests[name]
                if suppressed:
                    visible = _visible(touchpoint, actor, suppressed)
                    if visible is None:
                        self._suppressed_records += 1
                        continue
                    touchpoint = visible
                if touchpoint.occurred_us < retention_cutoff_us:
                    raise UndecodableError(
                        "before_horizon", "occurred_us", "it happened before what this workspace keeps (retention)"
                    )
            except UndecodableError as error:
                self._rejected.append(
                    reject(record, error.code, error.field, str(error), topic=self._topic, partition=partition)
                )
                continue
            message = message_digest(touchpoint.message_id)
            row = row_of(actor, message, touchpoint)
            source = (touchpoint.source, touchpoint.warnings != ())
            if source not in arrived:
                arrived[source] = self._arrived[Arrival(source[0], partition, source[1])]
            arrived[source].append(touchpoint)
            if message in touchpoints:
                repeats.append(row)
            else:
                touchpoints[message] = touchpoint
                rows.append(row)

    def batch(self) -> Batch:
        """Returns all that was added."""
        self._rows.sort()
        events = events_of(self._actors)
        return Batch(
            self._actors,
            self._rows,
            self._repeats,
            self._rejected,
            self._arrived,
            self._claims,
            self._suppressed_records,
            events,
            mentions_of(events),
        )


def events_of(actors: Mapping[bytes, Actor], stored_before: Container[FactKey] = ()) -> Events:
    """Returns the touchpoints that say something of a customer: not those of crawlers, nor test orders.

    `stored_before`: keys of the facts that were staged before, which are left out.
    """
    events = {
        digest: [
            t
            for message, t in actor.touchpoints.items()
            if not t.bot and not t.test and (digest, message) not in stored_before
        ]
        for digest, actor in actors.items()
    }
    return {digest: touchpoints for digest, touchpoints in events.items() if touchpoints}


def prepare(parts: Parts, models: ModelsByWorkspace, *, topic: str, suppressed: Mapping[bytes, int] = _NOBODY) -> Batch:
    """Decode records and group them by actor.

    Records that cannot be staged are in `Batch.rejected`, each with its reason. `suppressed`: digest of an id -> the
    instant until which what was received of it is left out.
    """
    preparation = Preparation(models, topic, suppressed)
    for partition, records in parts.items():
        preparation.add(partition, records)
    return preparation.batch()


def _visible(touchpoint: Touchpoint, actor: bytes, suppressed: Mapping[bytes, int]) -> Touchpoint | None:
    """Returns a touchpoint without the suppressed ids that it names; None when its actor is one of them."""
    received_us = touchpoint.received_us
    if received_us <= suppressed.get(actor, EVER):
        return None

    def is_hidden(id_: str) -> bool:
        return bool(id_) and received_us <= suppressed.get(id_digest(touchpoint.workspace, id_), EVER)

    hides_anonymous, hides_previous = is_hidden(touchpoint.anonymous_id), is_hidden(touchpoint.previous_id)
    if not (hides_anonymous or hides_previous):
        return touchpoint
    if touchpoint.call in RULINGS:
        return None
    return touchpoint._replace(
        anonymous_id="" if hides_anonymous else touchpoint.anonymous_id,
        previous_id="" if hides_previous else touchpoint.previous_id,
    )


def _models_of(models: ModelsByWorkspace, workspace: int) -> WorkspaceModels:
    workspace_models = models.get(workspace)
    if workspace_models is None:
        raise UndecodableError("unknown_workspace", "workspace", f"there is no workspace {workspace}")
    return workspace_models


def _add_actor(
    actors: dict[bytes, Actor], models: ModelsByWorkspace, workspace: int, name: str
) -> tuple[bytes, int, dict[bytes, Touchpoint]]:
    """Add an actor to `actors`; returns its digest, its workspace's retention cutoff and its touchpoints."""
    workspace_models = _models_of(models, workspace)
    digest = id_digest(workspace, name)
    touchpoints: dict[bytes, Touchpoint] = {}
    actors[digest] = Actor(workspace, name, touchpoints)
    return digest, workspace_models.retention_cutoff_us, touchpoints


def reject(record: Record, code: str, field: str, message: str, *, topic: str, partition: int) -> Rejected:
    """Returns a record that cannot be staged as the rejected topic keeps it: whole, with the reason."""
    return Rejected(
        workspace=0,
        source=0,
        received_us=record.timestamp * 1000,
        stage=RejectionStage.STAGER,
        code=code,
        field=field,
        message=message,
        payload=record.value or b"",
        origin=f"{topic}/{partition}/{record.offset}",
    )
