"""Statements by keys: whichever way rows are looked up, and however many of them are new."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts, identity
from throughline.store.digest import id_digest, message_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=1)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("workspaces", [1, identity.FEW_WORKSPACES, identity.FEW_WORKSPACES + 1])
@pytest.mark.parametrize("number", [identity.MANY_IDS - 1, identity.MANY_IDS])
async def test_ids_are_read_by_key_however_many_they_are(engine: AsyncEngine, workspaces: int, number: int) -> None:
    names = [(1 + n % workspaces, f"id-{n}") for n in range(2 * number)]
    ids = sorted((workspace, id_digest(workspace, name), name, True) for workspace, name in names)
    async with transaction(engine) as connection:
        stored = await identity.lock_ids(connection, ids[::2])
        assert await identity.read_ids(connection, [row[:2] for row in ids[::2]]) == stored
        some = ids[: number // 2] + ids[-number // 2 :]
        answer = await identity.read_ids(connection, [row[:2] for row in some])
        elsewhere = await identity.read_ids(connection, [(workspaces + 1, digest) for _, digest, _, _ in some])
    assert answer == {row[1]: stored[row[1]] for row in some if row in ids[::2]}
    assert not elsewhere


async def test_inserted_facts_answer_which_were_stored_before(engine: AsyncEngine) -> None:
    touchpoints = [
        Touchpoint(1_700_000_000_000_000 + n, 0, f"m{n}", f"ada-{n % 7}", "track", "Seen", 1, 1, "direct", 1)
        for n in range(100)
    ]
    rows = sorted(facts.row_of(id_digest(1, t.actor), message_digest(t.message_id), t) for t in touchpoints)
    keys = [facts.key_of(row) for row in rows]

    async def insert(some: list[facts.FactRow]) -> set[facts.FactKey]:
        async with transaction(engine) as connection:
            return await facts.insert_touchpoints(connection, some, facts.parameters_of(some))

    assert await insert(rows[::2]) == set()
    assert await insert(rows) == set(keys[::2])
    assert await insert(rows) == set(keys)
    async with transaction(engine) as connection:
        assert await facts.read_facts(connection, keys) == dict(zip(keys, rows, strict=True))
