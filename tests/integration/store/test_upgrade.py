"""The database of each release, with what that release staged into it, is upgraded; its facts give today's state.

`tests/fixtures/released` has a dump of each, made by the release's own services, and the log that they staged. (The
first tables of all, never released, are in `test_migrations.py`.)
"""

import base64
import gzip
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.models import ModelRegistry
from tests.conftest import execute
from tests.reference import replay
from tests.support.pipeline import Pipeline
from tests.support.projection import assert_same
from tests.support.shop import START_US, shop_log
from tests.support.stack import Stack
from throughline.journey.touchpoint import Touchpoint
from throughline.store.engine.unit_of_work import reading
from throughline.store.migrate import upgrade
from throughline.store.schema.operations import models
from throughline.wire.codec import decode

RELEASED = Path(__file__).parents[2] / "fixtures" / "released"
SETTLED_US = 2 * START_US
"""Long after every lapse."""


async def restore(url: str, release: Path) -> list[Touchpoint]:
    """Fill an empty database with a release's dump; returns the log that it holds."""
    script = gzip.decompress((release / "state.sql.gz").read_bytes()).decode()
    # What begins with a backslash is for psql.
    await execute(url, "\n".join(line for line in script.splitlines() if not line.startswith("\\")))
    lines = gzip.decompress((release / "log.gz").read_bytes()).split()
    return [decode(base64.b64decode(line)) for line in lines]


async def sums(url: str) -> tuple[int, int, int]:
    """Touchpoints, journeys, and how many are counted in a phase too many."""
    connection = await asyncpg.connect(url)
    try:
        row = await connection.fetchrow(
            "SELECT (SELECT count(*) FROM touchpoints), (SELECT count(*) FROM journeys), "
            '(SELECT coalesce(sum(abs(entered - active - lapsed - "left")), 0)::bigint FROM '
            "(SELECT phase, sum(entered) AS entered, sum(active) AS active, sum(lapsed) AS lapsed, "
            'sum("left") AS "left" FROM phase_counts WHERE phase > 0 GROUP BY phase) AS phases)'
        )
        assert row is not None
        return tuple(row)
    finally:
        await connection.close()


@pytest.mark.parametrize("release", sorted(RELEASED.iterdir()), ids=lambda path: path.name)
async def test_the_database_of_a_release_is_upgraded(
    release: Path, empty: str, empty_engine: AsyncEngine, tmp_path: Path
) -> None:
    old_log = await restore(empty, release)
    before = await sums(empty)
    await upgrade(empty)
    assert await sums(empty) == before
    assert before[0] == len({event.message_id for event in old_log})
    assert before[2] == 0

    async with reading(empty_engine) as connection:
        (workspace,) = {row.workspace for row in await connection.execute(select(models))}
    pipeline = Pipeline(empty_engine, empty, workspace, {}, "touchpoints", ModelRegistry(empty_engine))
    stack = Stack("", empty, "", "", tmp_path, workspace_id=workspace)
    more = [event._replace(message_id=f"new-{event.message_id}") for event in shop_log(stack, 200, seed=2)]
    pipeline.send(more)
    pipeline.watermark_us = SETTLED_US
    await pipeline.finish()
    assert (await sums(empty))[2] == 0
    generation = await pipeline.begin("seven_phase")
    await pipeline.restage_all()
    await pipeline.tick(SETTLED_US)
    expected = replay(old_log + more, "seven_phase", SETTLED_US)
    assert_same(await pipeline.projection(generation), expected, SETTLED_US)
