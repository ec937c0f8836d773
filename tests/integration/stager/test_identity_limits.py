"""Limits on identity: a customer has at most a thousand ids, and what goes beyond harms nobody."""

import asyncio

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.identity import MAX_CUSTOMER_IDS, MAX_ID_LINKS
from tests.reference import replay
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import assert_same
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest
from throughline.store.engine.errors import failure_of
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.identity_suspects import (
    MAX_WRITTEN,
    Suspect,
    SuspectReason,
    add_suspects,
    list_suspects,
    prune_suspects,
    read_suspect_names,
)
from throughline.wire.codec import partition_of

START_US = 1_700_000_000_000_000


@pytest.fixture
async def pipeline(engine: AsyncEngine, database: str) -> Pipeline:
    return await open_pipeline(engine, database)


async def sizes_of(url: str, workspace: int) -> list[int]:
    """The number of ids of each customer with several, the largest first, counted from the rows of all ids."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(
            """
            WITH RECURSIVE chains AS (
              SELECT id, id AS root FROM ids WHERE owner IS NULL AND workspace = $1
              UNION ALL SELECT ids.id, chains.root FROM ids JOIN chains ON ids.owner = chains.id
            )
            SELECT count(*) AS size, bool_and(chains.root = ids.root) AS agrees, max(roots.members) AS members
            FROM chains JOIN ids ON ids.id = chains.id JOIN ids AS roots ON roots.id = chains.root
            GROUP BY chains.root
            """,
            workspace,
        )
    finally:
        await connection.close()
    for row in rows:
        assert row["agrees"]
        assert row["members"] == row["size"]
    return sorted((row["size"] for row in rows if row["size"] > 1), reverse=True)


def one_user_many_devices(count: int) -> list[Touchpoint]:
    return [
        Touchpoint(
            START_US + number,
            0,
            f"m{number}",
            "everybody",
            "track",
            "Product Viewed",
            user_id="everybody",
            anonymous_id=f"device-{number}",
        )
        for number in range(count)
    ]


def chain_of_aliases(count: int) -> list[Touchpoint]:
    return [
        Touchpoint(
            START_US + number,
            0,
            f"a{number}",
            f"link-{number + 1}",
            "alias",
            "",
            user_id=f"link-{number + 1}",
            previous_id=f"link-{number}",
        )
        for number in range(count)
    ]


@pytest.mark.parametrize("batch", [7, 400, 5000])
async def test_a_user_with_more_devices_than_a_customer_may_have(pipeline: Pipeline, batch: int) -> None:
    log = one_user_many_devices(MAX_CUSTOMER_IDS + 200)
    pipeline.send(log)
    partition = partition_of(b"everybody", PARTITIONS)
    staged = 0
    while result := await pipeline.stage(partition, batch):
        staged += result.staged
    assert staged == len(log)
    assert await sizes_of(pipeline.url, pipeline.workspace) == [MAX_CUSTOMER_IDS]


@pytest.mark.parametrize("order", [1, -1])
async def test_a_chain_of_aliases_ends_where_a_customer_is_full(pipeline: Pipeline, order: int) -> None:
    pipeline.send(chain_of_aliases(2 * MAX_CUSTOMER_IDS)[::order])
    await_more = True
    while await_more:
        results = [await pipeline.stage(partition, 500) for partition in range(PARTITIONS)]
        await_more = any(results)
    sizes = await sizes_of(pipeline.url, pipeline.workspace)
    assert max(sizes) <= MAX_CUSTOMER_IDS
    assert sum(sizes) > MAX_CUSTOMER_IDS


async def test_rounds_of_aliases_side_by_side_share_new_ids(pipeline: Pipeline) -> None:
    log = chain_of_aliases(200)
    pipeline.send(log)

    async def stage(partition: int) -> None:
        has_more = True
        while has_more:
            try:
                has_more = await pipeline.stage(partition, 20) is not None
            except Exception as error:
                if failure_of(error) != "contention":
                    raise

    await asyncio.gather(*map(stage, range(PARTITIONS)))
    assert await sizes_of(pipeline.url, pipeline.workspace) == [len(log) + 1]
    for name, model in pipeline.models.items():
        assert_same(await pipeline.projection(model), replay(log, name, pipeline.watermark_us), pipeline.watermark_us)


async def suspects_of(pipeline: Pipeline) -> list[Suspect]:
    async with reading(pipeline.engine) as connection:
        return await list_suspects(connection, pipeline.workspace, None, 1_000)


@pytest.mark.parametrize("batch", [400, 5000])
async def test_ids_with_links_that_were_not_made_are_noted(pipeline: Pipeline, batch: int) -> None:
    log = one_user_many_devices(MAX_CUSTOMER_IDS + 200)
    received = [event._replace(received_us=START_US + number) for number, event in enumerate(log)]
    pipeline.send(received)
    partition = partition_of(b"everybody", PARTITIONS)
    refused = 0
    while result := await pipeline.stage(partition, batch):
        refused += result.refused_links
    (suspect,) = await suspects_of(pipeline)
    assert (suspect.name, suspect.reason, suspect.refused) == ("everybody", SuspectReason.CUSTOMER_IDS, 201)
    assert refused == 201
    assert (suspect.first_us <= START_US + 1_000, suspect.last_us) == (True, START_US + 1_199)
    async with reading(pipeline.engine) as connection:
        assert await read_suspect_names(connection) == {pipeline.workspace: {"everybody"}}


async def test_a_device_with_ever_more_users_is_noted(pipeline: Pipeline) -> None:
    pipeline.send(
        [
            Touchpoint(
                START_US + number, 0, f"m{number}", f"user-{number}", "identify", "", user_id=f"user-{number}",
                anonymous_id="till",
            )
            for number in range(MAX_ID_LINKS + 5)
        ]
    )  # fmt: skip
    await pipeline.finish()
    (suspect,) = await suspects_of(pipeline)
    assert (suspect.name, suspect.reason, suspect.refused) == ("till", SuspectReason.ID_LINKS, 5)


async def test_only_the_newest_suspects_stay_and_few_are_written_at_once(pipeline: Pipeline) -> None:
    def suspect(workspace: int, number: int) -> Suspect:
        name = f"id-{number}"
        return Suspect(workspace, id_digest(workspace, name), name, SuspectReason.ID_LINKS, 1 + number, number, number)

    async with transaction(pipeline.engine) as connection:
        await add_suspects(connection, [suspect(pipeline.workspace, number) for number in range(MAX_WRITTEN + 50)])
        await add_suspects(connection, [suspect(pipeline.workspace + 1, number) for number in range(3)])
    assert [row.name for row in await suspects_of(pipeline)] == [f"id-{n}" for n in range(MAX_WRITTEN + 49, 49, -1)]
    async with transaction(pipeline.engine) as connection:
        await prune_suspects(connection, count=3)
    assert [row.name for row in await suspects_of(pipeline)] == ["id-149", "id-148", "id-147"]
    async with reading(pipeline.engine) as connection:
        assert len(await list_suspects(connection, pipeline.workspace + 1, None, 9)) == 3
