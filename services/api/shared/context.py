"""Everything the routes read, each question asked of the database once however many clients wait for it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.events.answers import Events, recent_body
from services.api.events.queries import RecentRow, list_recent, read_applied_watermark
from services.api.history.queries import past_counts
from services.api.live.cache import Cache
from services.api.phases.answers import Snapshot, snapshot
from services.api.rejected.queries import (
    BEGINNING_US,
    END_US,
    RejectedRow,
    Wanted,
    count_rejected,
    list_rejected,
)
from services.api.shared.database import Database
from services.api.shared.queries import Generation, Source, Workspace, live_counts, workspace_of, workspace_sources
from services.api.shared.steps import floored, since
from throughline.journey.durations import HOUR_US
from throughline.journey.model import Model
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.models import define, model_of, shipped_text
from throughline.store.access.keys import ReadToken, read_token

COUNTS_SECONDS = 0.25
"""Each distinct question about counts is asked at most this often."""
TOKEN_SECONDS = 1.0
"""How long a token or the list of sources is believed before it is looked up again."""
EXCERPT_BYTES = 2_048
"""Of a refused event among the last ones; `/v1/rejected` has more of it."""


class CountsKey(NamedTuple):
    """A distinct question about counts. `model`: None asks for the workspace's default one."""

    workspace: int
    model: str | None
    source: int | None
    channel: str | None


class PastKey(NamedTuple):
    """A distinct question about the counts of a past moment."""

    of: CountsKey
    at_us: int


class RecentKey(NamedTuple):
    """A distinct question about the last events. `verdict`: None asks for all."""

    workspace: int
    source: int | None
    verdict: str | None
    limit: int


class Applied(NamedTuple):
    """A workspace, and the generation of a model that a request is about."""

    workspace: Workspace
    generation: Generation

    @property
    def id(self) -> int:
        """Of the generation: what its rows carry."""
        return self.generation.id

    @property
    def model(self) -> Model:
        """The phase model's rules and labels."""
        return model_of(self.generation.name, self.generation.document)

    @property
    def zone(self) -> tzinfo:
        """In which the workspace's days begin."""
        return zone_of(self.workspace.time_zone)


class Readers:
    """The cached questions of this process. `topic`: the touchpoints topic, whose offsets tell the time."""

    def __init__(self, database: Database, topic: str) -> None:
        self.database = database
        self.topic = topic
        self.tokens: Cache[bytes, ReadToken | None] = Cache(self._token, seconds=TOKEN_SECONDS)
        self.sources: Cache[int, list[Source]] = Cache(self._sources, seconds=TOKEN_SECONDS)
        self.counts: Cache[CountsKey, Snapshot] = Cache(self._counts, seconds=COUNTS_SECONDS)
        self.past: Cache[PastKey, Snapshot] = Cache(self._past, seconds=COUNTS_SECONDS)
        self.recent: Cache[RecentKey, Snapshot] = Cache(self._recent, seconds=COUNTS_SECONDS)

    @asynccontextmanager
    async def reading(
        self, question: str, workspace: int, model: str | None
    ) -> AsyncIterator[tuple[AsyncConnection, Applied]]:
        """One snapshot for a question about a model (None: the default one), with its live generation.

        So a switch to another generation is seen by whole answers only.

        Raises:
            ServiceError: 400 `unknown_model`, 503 `no_model` or `database_away`.
        """
        async with self.database.reading(question, one_snapshot=True) as connection:
            found = await workspace_of(connection, workspace, self.topic)
            yield connection, Applied(found, live_generation(found, model))

    async def counts_key(self, workspace: int, model: str | None, source: str | None, channel: str | None) -> CountsKey:
        """The question behind a request's filters.

        Raises:
            ServiceError: 400 `unknown_source`.
        """
        return CountsKey(workspace, model, await self.source_id(workspace, source), channel)

    async def source_id(self, workspace: int, source: str | None) -> int | None:
        """The source of that name.

        Raises:
            ServiceError: 400 `unknown_source`.
        """
        if source is None:
            return None
        known = await self.sources.get(workspace)
        number = next((s.id for s in known if s.name == source), None)
        if number is None:
            names = ", ".join(s.name for s in known) or "none yet"
            raise ServiceError(
                400, "unknown_source", f"the workspace has no source {source!r}; there are: {names}", field="source"
            )
        return number

    async def source_names(self, workspace: int) -> dict[int, str]:
        """Source id -> name."""
        return {source.id: source.name for source in await self.sources.get(workspace)}

    async def _token(self, digest: bytes) -> ReadToken | None:
        async with self.database.reading("token") as connection:
            return await read_token(connection, digest)

    async def _sources(self, workspace: int) -> list[Source]:
        async with self.database.reading("sources") as connection:
            return await workspace_sources(connection, workspace)

    async def _counts(self, key: CountsKey) -> Snapshot:
        async with self.database.reading("counts") as connection:
            found = await live_counts(connection, key.workspace, key.model, self.topic, key.source, key.channel)
            if found is None:
                live_generation(await workspace_of(connection, key.workspace, self.topic), key.model)
                raise ServiceError(503, "no_model", "the model is being switched; try again")
        return snapshot(
            model_of(found.generation.name, found.generation.document),
            found.sums,
            as_of_us=found.applied_watermark_us,
            applied_watermark_us=found.applied_watermark_us,
            retention_cutoff_us=found.retention_cutoff_us,
        )

    async def _past(self, key: PastKey) -> Snapshot:
        of = key.of
        async with self.reading("past", of.workspace, of.model) as (connection, applied):
            applied_watermark_us, latest_watermark_us = (
                applied.workspace.applied_watermark_us,
                applied.workspace.latest_watermark_us,
            )
            if applied_watermark_us is None:
                return snapshot(applied.model, {}, as_of_us=None, applied_watermark_us=None)
            moment = floored(min(key.at_us, applied_watermark_us), latest_watermark_us, applied.zone)
            past = await past_counts(
                connection, applied.id, self.topic, of.source, of.channel, later=since(moment, applied.zone)
            )
        return snapshot(
            applied.model,
            past.closing,
            as_of_us=moment.at_us,
            applied_watermark_us=past.applied_watermark_us,
            retention_cutoff_us=applied.workspace.retention_cutoff_us,
        )

    async def _recent(self, key: RecentKey) -> Snapshot:
        since_us = (now_us() // HOUR_US - 1) * HOUR_US
        wanted = Wanted(key.workspace, BEGINNING_US, END_US, key.source, None, None)
        async with self.database.reading("recent", one_snapshot=True) as connection:
            applied_watermark_us = await read_applied_watermark(connection, self.topic)
            taken: list[RecentRow] = []
            if key.verdict in (None, "ok", "warning"):
                warned = None if key.verdict is None else key.verdict == "warning"
                taken = await list_recent(connection, key.workspace, key.source, warned=warned, count=key.limit)
            refused: list[RejectedRow] = []
            if key.verdict in (None, "rejected"):
                refused = await list_rejected(connection, wanted, None, key.limit, shown_bytes=EXCERPT_BYTES)
            counts = await count_rejected(connection, wanted._replace(from_us=since_us))
        names = await self.source_names(key.workspace)
        return recent_body(Events(taken, refused, counts, since_us, applied_watermark_us), names, key.limit)


def live_generation(workspace: Workspace, model: str | None) -> Generation:
    """The generation that is served for a model's name, or for the workspace's default.

    Raises:
        ServiceError: 400 `unknown_model`; 503 `no_model` when the default one is not live.
    """
    live = {generation.name: generation for generation in workspace.generations if generation.state == "live"}
    found = live.get(workspace.default_model if model is None else model)
    if found is not None:
        return found
    names = ", ".join(live) or "none yet"
    if model is None:
        raise ServiceError(
            503, "no_model", f"the workspace's default model {workspace.default_model!r} is not live; live are: {names}"
        )
    building = any(generation.name == model for generation in workspace.generations)
    fault = f"model {model!r} is still being built" if building else f"the workspace has no live model {model!r}"
    raise ServiceError(400, "unknown_model", f"{fault}; live are: {names}", field="model")


@lru_cache(256)
def label_of(name: str, document: str | None) -> str:
    """What a model's file calls it for people."""
    return define(shipped_text(name) if document is None else document, f"{name}.toml").label


@lru_cache(256)
def zone_of(name: str) -> tzinfo:
    """The time zone of a workspace."""
    return UTC if name == "UTC" else ZoneInfo(name)
