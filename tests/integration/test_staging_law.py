"""The law on real PostgreSQL: however a log is ordered, repeated and batched, the state is a sorted replay's."""

import itertools
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.batch import prepare, record_digest
from services.stager.commit import Staged, StaleOffsetError, commit
from tests.reference import replay
from tests.state import read_state
from tests.strategies import logs
from throughline.journey.touchpoint import Touchpoint
from throughline.store.engine import create_engine
from throughline.store.staging import Offset
from throughline.wire.codec import encode

TOPIC = "touchpoints"
numbers = itertools.count(1)


@dataclass(frozen=True)
class Kept:
    """A record as it stands in a log."""

    offset: int
    value: bytes
    key: bytes | None = None
    timestamp: int = 1_700_000_001_000


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database)
    yield engine
    await engine.dispose()


async def stage(engine: AsyncEngine, records: list[Kept], workspace: int, partition: int) -> Staged:
    batch = prepare(records, {workspace: [(workspace, "seven_phase")]}, topic=TOPIC, partition=partition)
    assert not batch.rejected
    to = Offset(records[-1].offset + 1, record_digest(records[-1]), 0)
    return await commit(engine, batch, topic=TOPIC, partition=partition, expected=records[0].offset, to=to)


def records_of(log: list[Touchpoint], workspace: int) -> list[Kept]:
    return [Kept(n, encode(event._replace(workspace=workspace))) for n, event in enumerate(log)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(log=logs(), cuts=st.lists(st.integers(1, 40), max_size=4), again=st.integers(0, 40))
async def test_any_log_in_any_batches_is_a_sorted_replay(
    database: str, engine: AsyncEngine, log: list[Touchpoint], cuts: list[int], again: int
) -> None:
    workspace = partition = next(numbers)
    whole = log + log[:again]
    records = records_of(whole, workspace)
    bounds = [0, *sorted({cut for cut in cuts if cut < len(records)}), len(records)]
    outcomes = [
        await stage(engine, records[start:end], workspace, partition)
        for start, end in itertools.pairwise(bounds)
        if start < end
    ]
    moves, counts = replay(whole)
    state = await read_state(database, workspace)
    assert state.moves == moves
    assert state.counts == counts
    assert sum(o.staged + o.duplicates + o.conflicts for o in outcomes) == len(whole)


async def test_a_batch_staged_twice_is_refused_whole(database: str, engine: AsyncEngine) -> None:
    workspace = partition = next(numbers)
    event = Touchpoint(1_700_000_000_000_000, "m1", "c1", "track", "Product Added", workspace, 1, "direct", 1)
    records = records_of([event], workspace)
    await stage(engine, records, workspace, partition)
    before = await read_state(database, workspace)
    with pytest.raises(StaleOffsetError):
        await stage(engine, records, workspace, partition)
    assert await read_state(database, workspace) == before


async def test_a_differing_second_event_of_one_message_id_is_a_conflict(database: str, engine: AsyncEngine) -> None:
    workspace = partition = next(numbers)
    first = Touchpoint(1_700_000_000_000_000, "m1", "c1", "track", "Product Added", workspace, 1, "direct", 1)
    log = [first, first._replace(occurred_us=first.occurred_us + 5), first._replace(name="Order Completed")]
    records = records_of(log, workspace)
    assert await stage(engine, records[:1], workspace, partition) == Staged(staged=1)
    outcome = await stage(engine, records[1:], workspace, partition)
    assert (outcome.staged, outcome.duplicates, outcome.conflicts) == (0, 1, 1)
    assert (await read_state(database, workspace)).moves == {"c1": [(first.occurred_us, "", "decision", "m1")]}
