"""Everything the routes read, each question asked of the database once however many clients wait for it."""

from typing import NamedTuple

from services.api.cache import Cache
from services.api.counts import Snapshot, snapshot
from services.api.queries import Source, applied_model, phase_sums, workspace_sources
from services.api.queries_session import Database
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError
from throughline.models import load_model
from throughline.store.keys import read_token

COUNTS_SECONDS = 0.25
"""Each distinct question about counts is asked at most this often."""
TOKEN_SECONDS = 1.0
"""How long a token or the list of sources is believed before it is looked up again."""


class Reader(NamedTuple):
    """Who asks: the workspace a token opens, and its model."""

    workspace: int
    workspace_name: str
    model_id: int
    model_name: str

    @property
    def model(self) -> Model:
        """The phase model's rules and labels."""
        return load_model(self.model_name)


class CountsKey(NamedTuple):
    """A distinct question about counts."""

    model_id: int
    model_name: str
    source: int | None
    channel: str | None


class Readers:
    """The cached questions of this process. `topic`: the touchpoints topic, whose offsets tell the time."""

    def __init__(self, database: Database, topic: str) -> None:
        self.database = database
        self.topic = topic
        self.tokens: Cache[bytes, Reader | None] = Cache(self._reader, seconds=TOKEN_SECONDS)
        self.sources: Cache[int, list[Source]] = Cache(self._sources, seconds=TOKEN_SECONDS)
        self.counts: Cache[CountsKey, Snapshot] = Cache(self._counts, seconds=COUNTS_SECONDS)

    async def counts_key(self, reader: Reader, source: str | None, channel: str | None) -> CountsKey:
        """The question behind a request's filters.

        Raises:
            ServiceError: 400 `unknown_source`.
        """
        number = None
        if source is not None:
            known = await self.sources.get(reader.workspace)
            number = next((s.id for s in known if s.name == source), None)
            if number is None:
                names = ", ".join(s.name for s in known) or "none yet"
                raise ServiceError(
                    400, "unknown_source", f"the workspace has no source {source!r}; there are: {names}", field="source"
                )
        return CountsKey(reader.model_id, reader.model_name, number, channel)

    async def _reader(self, digest: bytes) -> Reader | None:
        async with self.database.reading("token") as connection:
            token = await read_token(connection, digest)
            if token is None:
                return None
            model = await applied_model(connection, token.workspace)
        if model is None:
            raise ServiceError(503, "no_model", f"workspace {token.workspace_name!r} has no phase model")
        return Reader(token.workspace, token.workspace_name, model.id, model.name)

    async def _sources(self, workspace: int) -> list[Source]:
        async with self.database.reading("sources") as connection:
            return await workspace_sources(connection, workspace)

    async def _counts(self, key: CountsKey) -> Snapshot:
        async with self.database.reading("counts") as connection:
            as_of_us, sums = await phase_sums(connection, key.model_id, self.topic, key.source, key.channel)
        return snapshot(load_model(key.model_name), sums, as_of_us)
