"""Generations of models: begun, restaged, switched to, given up and retired, beside whoever stages."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.models import shipped_text
from throughline.store import generations
from throughline.store.access.names import AdminError
from throughline.store.access.workspaces import create_workspace
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.generations import Generation, WorkspaceGenerations
from throughline.store.id_walk import SLOTS
from throughline.store.schema.access import workspaces
from throughline.store.schema.operations import restage_slots

OURS = shipped_text("six_stage").replace('name = "six_stage"', 'name = "ours"')
OURS_TOO = OURS.replace("Six stages", "Our stages")


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    pool = create_engine(database)
    async with transaction(pool) as connection:
        await create_workspace(connection, "shop", now_us=1, time_zone="Europe/Vienna")
    yield pool
    await pool.dispose()


async def applied(engine: AsyncEngine, workspace: int = 1) -> WorkspaceGenerations:
    async with reading(engine) as connection:
        return (await generations.read_generations(connection))[workspace]


async def begin(engine: AsyncEngine, model: str, document: str | None = None) -> int:
    async with transaction(engine) as connection:
        return await generations.begin_restage(connection, "shop", model, document=document, now_us=2)


async def switch(engine: AsyncEngine, generation: int) -> bool:
    async with transaction(engine) as connection:
        return await generations.switch(connection, generation)


async def advance(engine: AsyncEngine, generation: int, *slots: int, done: bool = True, cursor: bytes = b"") -> None:
    """What the stagers do with the slots."""
    c = restage_slots.c
    async with transaction(engine) as connection:
        await connection.execute(
            update(restage_slots)
            .where(c.model == generation, c.slot.in_(slots))
            .values(done=done, cursor=cursor, customers=10, touchpoints=100)
        )


async def named(engine: AsyncEngine) -> list[tuple[str, str]]:
    return [(generation.name, generation.state) for generation in (await applied(engine)).generations]


async def test_a_new_workspace_applies_the_default_model(engine: AsyncEngine) -> None:
    assert await applied(engine) == WorkspaceGenerations(
        0, "Europe/Vienna", None, [Generation(1, 1, "seven_phase", "live", None, True)]
    )
    async with reading(engine) as connection:
        assert await generations.lock_versions(connection, [1, 1, 99]) == {1: 0}


async def test_restage_and_switch(engine: AsyncEngine) -> None:
    begun = await begin(engine, "seven_phase")
    assert await begin(engine, "seven_phase") == begun
    assert (await applied(engine)).version == 1
    assert await named(engine) == [("seven_phase", "live"), ("seven_phase", "building")]
    assert not await switch(engine, begun)
    await advance(engine, begun, *range(SLOTS - 1))
    assert not await switch(engine, begun)
    await advance(engine, begun, SLOTS - 1)
    assert await switch(engine, begun)
    after = await applied(engine)
    assert after == WorkspaceGenerations(
        2, "Europe/Vienna", None, [Generation(begun, 1, "seven_phase", "live", None, True)]
    )
    assert await switch(engine, begun)  # asked again
    assert await applied(engine) == after
    async with reading(engine) as connection:
        assert await generations.read_state(connection, 1) == "retired"
        assert await connection.scalar(select(func.count()).select_from(restage_slots)) == 0


async def test_another_model_stands_beside(engine: AsyncEngine) -> None:
    begun = await begin(engine, "six_stage")
    await advance(engine, begun, *range(SLOTS))
    assert await switch(engine, begun)
    assert await named(engine) == [("seven_phase", "live"), ("six_stage", "live")]


async def test_progress(engine: AsyncEngine) -> None:
    begun = await begin(engine, "six_stage")

    async def progress() -> generations.RestageProgress:
        async with reading(engine) as connection:
            return await generations.read_progress(connection, begun)

    assert await progress() == (0, 16, 0, 0, 0, 0.0)
    assert (await progress()).of_customers == 0
    await advance(engine, begun, 0, 1, 2, 3)
    await advance(engine, begun, 4, done=False, cursor=b"\x48" + b"\0" * 15)
    halfway = await progress()
    assert halfway == (4, 16, 50, 500, 0, 4.5 / 16)
    assert halfway.of_customers == round(50 / (4.5 / 16))
    assert not halfway.is_whole
    await advance(engine, begun, *range(SLOTS))
    assert (await progress()).is_whole
    assert (await progress()).of_customers == 160


async def test_an_own_model(engine: AsyncEngine) -> None:
    first = await begin(engine, "ours", OURS)
    assert await begin(engine, "ours", OURS) == first
    second = await begin(engine, "ours", OURS_TOO)
    assert second != first
    assert (await applied(engine)).generations[1:] == [Generation(second, 1, "ours", "building", OURS_TOO, True)]
    with pytest.raises(AdminError, match="this restage was given up"):
        await switch(engine, first)
    async with transaction(engine) as connection:
        assert await generations.read_document(connection, "shop", "ours") == OURS_TOO
        assert await generations.read_document(connection, "shop", "six_stage") is None
        with pytest.raises(AdminError, match=r"has no model 'theirs', and none is shipped .*: five_stage, .*, ours, "):
            await generations.read_document(connection, "shop", "theirs")


@pytest.mark.parametrize(
    ("workspace", "model", "document", "message"),
    [
        ("shop", "eight_phase", None, "no model named 'eight_phase' is shipped; there are: five_stage"),
        ("shop", "mine", OURS, "the file is of a model named 'ours', not 'mine'"),
        ("shop", "ours", OURS.replace("live_order", "dead_order"), "ours.toml:"),
        ("shop", "six_stage", shipped_text("six_stage"), "'six_stage' is the name of a shipped model"),
        ("shpo", "six_stage", None, "unknown workspace 'shpo'"),
    ],
)
async def test_what_cannot_begin(
    engine: AsyncEngine, workspace: str, model: str, document: str | None, message: str
) -> None:
    with pytest.raises(AdminError, match=message):
        async with transaction(engine) as connection:
            await generations.begin_restage(connection, workspace, model, document=document, now_us=2)
    assert len((await applied(engine)).generations) == 1


async def test_a_change_waits_for_who_stages_and_who_stages_next_sees_it(engine: AsyncEngine) -> None:
    async with transaction(engine) as first, transaction(engine) as second:
        assert await generations.lock_versions(first, [1]) == await generations.lock_versions(second, [1]) == {1: 0}
        beginning = asyncio.create_task(begin(engine, "six_stage"))
        done, _ = await asyncio.wait([beginning], timeout=0.3)
        assert not done
    await beginning
    async with transaction(engine) as three:
        assert await generations.lock_versions(three, [1]) == {1: 1}


async def test_two_that_begin_at_once_begin_one(engine: AsyncEngine) -> None:
    begun = await asyncio.gather(*(begin(engine, "six_stage") for _ in range(4)))
    assert len(set(begun)) == 1
    assert (await applied(engine)).version == 1


async def test_a_workspace_without_models_is_known(engine: AsyncEngine) -> None:
    async with transaction(engine) as connection:
        await generations.set_default_model(connection, "shop", "seven_phase")
        await connection.execute(update(workspaces).values(default_model="none"))
        await generations.retire_model(connection, "shop", "seven_phase")
    assert await applied(engine) == WorkspaceGenerations(1, "Europe/Vienna", None, [])


async def test_default_and_retired(engine: AsyncEngine) -> None:
    begun = await begin(engine, "six_stage")
    with pytest.raises(AdminError, match=r"is not live in workspace 'shop' \(live: seven_phase\); run `"):
        async with transaction(engine) as connection:
            await generations.set_default_model(connection, "shop", "six_stage")
    await advance(engine, begun, *range(SLOTS))
    await switch(engine, begun)
    async with transaction(engine) as connection:
        await generations.set_default_model(connection, "shop", "six_stage")
    for model, message in (("six_stage", "is the default model of workspace"), ("five_stage", "does not apply")):
        with pytest.raises(AdminError, match=message):
            async with transaction(engine) as connection:
                await generations.retire_model(connection, "shop", model)
    async with transaction(engine) as connection:
        await generations.retire_model(connection, "shop", "seven_phase")
    async with reading(engine) as connection:
        listed = await generations.list_models(connection, "shop")
    assert [(generation.name, generation.state, generation.is_default, generation.is_own) for generation in listed] == [
        ("seven_phase", "retired", False, False),
        ("six_stage", "live", True, False),
    ]
