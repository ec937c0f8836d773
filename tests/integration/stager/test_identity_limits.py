"""Limits on identity: a customer has at most a thousand ids, and what goes beyond harms nobody."""

import asyncpg
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.identity import MAX_CUSTOMER_IDS
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from throughline.journey.touchpoint import Touchpoint
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
