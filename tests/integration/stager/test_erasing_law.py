"""The law of erasures: wherever they lie in the log and however it is staged, the state is that of the log without the
erased persons, and nothing of them is stored."""

from dataclasses import dataclass, replace
from typing import Any

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.maintain import erase
from tests.reference import replay
from tests.reference.erasures import Erased, remaining
from tests.reference.replay import Replayed
from tests.strategies.staging import Case, cases, short_checkpoints
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import PARTITIONS, Pipeline, open_pipeline
from tests.support.projection import Projection, assert_same
from throughline.journey.identity import RULINGS
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest
from throughline.store.personal import PLACES
from throughline.wire.claims import ERASE, Claim

IDS = [f"c{number}" for number in range(1, 5)]


@dataclass(frozen=True)
class Claimed:
    """An erasure that comes to the log after some of its events."""

    after: int
    erased: Erased


@st.composite
def claimed(draw: st.DrawFn) -> Claimed:
    ids = frozenset(draw(st.lists(st.sampled_from(IDS), min_size=1, max_size=3)))
    until_us = draw(st.none() | st.integers(-1, 61).map(lambda days: START_US + days * DAY_US))
    return Claimed(draw(st.integers(0, 30)), Erased(ids, until_us))


def received(event: Touchpoint) -> Touchpoint:
    """The event as received on a day of its own, with all that repeat its message id.

    A ruling's id is its own, as the command makes it: what repeats one that is erased would have counted without it.
    """
    day = int(event.message_id[1:]) if event.message_id[1:].isdigit() else 0
    message_id = f"r{day}" if event.call in RULINGS else event.message_id
    return event._replace(received_us=START_US + day * DAY_US, message_id=message_id)


def claim_of(pipeline: Pipeline, number: int, erased: Erased) -> Claim:
    digests = tuple(sorted(id_digest(pipeline.workspace, id_) for id_ in erased.ids))
    until_us = START_US if erased.until_us is None else erased.until_us
    return Claim(ERASE, pipeline.workspace, f"e{number}", until_us, digests, erased.until_us is not None, is_whole=True)


async def send(pipeline: Pipeline, log: list[Touchpoint], claims: list[Claimed]) -> None:
    """The log, with the claims among its events."""
    for place in range(max([len(log), *(claim.after for claim in claims)]) + 1):
        for number, claim in enumerate(claims):
            if claim.after == place:
                await pipeline.claim([claim_of(pipeline, number, claim.erased)])
        pipeline.send(log[place : place + 1])


def assert_erased(actual: Projection, expected: Replayed, watermark_us: int) -> None:
    """As `assert_same`, but for the times of unknown names, which sums do not have."""
    unmapped = {key: counted._replace(first_us=0, last_us=0) for key, counted in actual.unmapped.items()}
    events = {key: counted for key, counted in unmapped.items() if counted.events}
    of_reference = {key: counted._replace(first_us=0, last_us=0) for key, counted in expected.unmapped.items()}
    assert_same(actual._replace(unmapped=events), expected._replace(unmapped=of_reference), watermark_us)


async def assert_nothing_left(pipeline: Pipeline, erased: Erased) -> None:
    """No row of any place is about an erased id that may not come back, and no text names one."""
    connection = await asyncpg.connect(pipeline.url)
    try:
        for id_ in erased.ids:
            digest = id_digest(pipeline.workspace, id_)
            for place in PLACES:
                for column in place.digests:
                    rows = await connection.fetch(f"SELECT * FROM {place.table.name} WHERE {column} = $1", digest)
                    assert not rows, (place.table.name, column, id_)
        actors = [id_digest(pipeline.workspace, id_) for id_ in IDS]
        named = await connection.fetch(
            "SELECT * FROM touchpoints WHERE actor = ANY($1) AND (anonymous_id = ANY($2) OR previous_id = ANY($2))",
            actors,
            sorted(erased.ids),
        )
        assert not named
        recent: list[Any] = await connection.fetch(
            "SELECT 1 FROM recent_events WHERE workspace = $1 AND actor = ANY($2)",
            pipeline.workspace,
            sorted(erased.ids),
        )
        assert not recent
        open_ones = await connection.fetch(
            "SELECT name, state, proof FROM erasures WHERE workspace = $1 AND state <> 'done'", pipeline.workspace
        )
        assert not open_ones
    finally:
        await connection.close()


law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@law
@given(
    case=cases(),
    claims=st.lists(claimed(), min_size=1, max_size=3),
    slices=st.integers(0, 3),
    size=st.sampled_from([1, 3, 2_000]),
)
async def test_a_log_with_erasures_is_the_log_without_the_erased(
    database: str, engine: AsyncEngine, case: Case, claims: list[Claimed], slices: int, size: int
) -> None:
    case = replace(case, log=[received(event) for event in case.log])
    pipeline = await open_pipeline(engine, database)
    whole = case.log + case.log[: case.repeated]
    await send(pipeline, whole, claims)
    with short_checkpoints(case), pytest.MonkeyPatch.context() as patch:
        patch.setattr(erase, "FACTS", size)
        for step in case.steps:
            if step.clock_us is not None:
                await pipeline.tick(step.clock_us)
            await pipeline.stage(step.partition, step.count, dies=step.dies)
            await pipeline.erase(slices)
        await pipeline.finish()
        await pipeline.erase_all()
        await pipeline.tick(case.clock_us)
    left = remaining(whole, [claim.erased for claim in claims])
    for name, model in pipeline.models.items():
        expected = replay(left, name, pipeline.watermark_us)
        assert_erased(await pipeline.projection(model), expected, pipeline.watermark_us)
    for claim in claims:
        if claim.erased.until_us is None:
            await assert_nothing_left(pipeline, claim.erased)


@law
@given(case=cases(), claims=st.lists(claimed(), min_size=1, max_size=2), cut=st.integers(0, 30))
async def test_an_erasure_amid_a_restage(
    database: str, engine: AsyncEngine, case: Case, claims: list[Claimed], cut: int
) -> None:
    case = replace(case, log=[received(event) for event in case.log])
    pipeline = await open_pipeline(engine, database)
    pipeline.send(case.log[:cut])
    with short_checkpoints(case):
        await pipeline.finish()
        await send(pipeline, case.log[cut:], claims)
        generation = await pipeline.begin("six_stage")
        for step in case.steps:
            await pipeline.stage(step.partition, step.count)
            await pipeline.registry.refresh()
            await pipeline.restage((step.partition + step.count) % PARTITIONS, step.count)
            await pipeline.erase(1)
        await pipeline.finish()
        await pipeline.registry.refresh()
        await pipeline.restage_all()
        await pipeline.erase_all()
        await pipeline.tick(case.clock_us)
    left = remaining(case.log, [claim.erased for claim in claims])
    assert_erased(
        await pipeline.projection(generation),
        replay(left, "six_stage", pipeline.watermark_us),
        pipeline.watermark_us,
    )


async def facts_of(pipeline: Pipeline) -> list[Any]:
    connection = await asyncpg.connect(pipeline.url)
    try:
        actors = [id_digest(pipeline.workspace, id_) for id_ in IDS]
        return await connection.fetch("SELECT * FROM touchpoints WHERE actor = ANY($1) ORDER BY 1, 2", actors)
    finally:
        await connection.close()


@pytest.mark.parametrize("until_us", [None, START_US + DAY_US])
@pytest.mark.parametrize("unlinked", [1, erase.UNLINKED])
@pytest.mark.parametrize("is_bot", [True, False])
async def test_an_erasure_leaves_other_workspaces_as_they_are(
    database: str, engine: AsyncEngine, until_us: int | None, unlinked: int, is_bot: bool
) -> None:
    """Workspaces may have the same ids. What crawlers and test orders say of one has no link to look it up by."""
    person, others = IDS[0], IDS[1:]
    shown = Touchpoint(START_US, 0, "m0", "", "track", "Product Viewed", received_us=START_US)
    log = [shown._replace(actor=id_, user_id=id_) for id_ in others]
    log += [event._replace(message_id="m1", anonymous_id=person, bot=is_bot, test=not is_bot) for event in log]
    log.append(shown._replace(actor=person, anonymous_id=person))
    pipelines = [await open_pipeline(engine, database) for _ in range(3)]
    for pipeline in pipelines:
        pipeline.send(log)
        await pipeline.finish()
    _, erasing, _ = pipelines
    before = {pipeline.workspace: await facts_of(pipeline) for pipeline in pipelines}
    erased = Erased(frozenset([person]), until_us)
    await erasing.claim([claim_of(erasing, 0, erased)])
    await erasing.finish()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(erase, "UNLINKED", unlinked)
        await erasing.erase_all()
    for pipeline in pipelines:
        left = remaining(log, [erased]) if pipeline is erasing else log
        facts = await facts_of(pipeline)
        assert len(facts) == len(left)
        if pipeline is erasing:
            assert not [fact for fact in facts if fact["anonymous_id"]]
        else:
            assert facts == before[pipeline.workspace]
        for name, model in pipeline.models.items():
            expected = replay(left, name, pipeline.watermark_us)
            assert_erased(await pipeline.projection(model), expected, pipeline.watermark_us)


@pytest.mark.parametrize("field", ["anonymous_id", "previous_id"])
@pytest.mark.parametrize("has_events", [True, False])
@pytest.mark.parametrize("claim_first", [True, False])
async def test_an_id_that_only_crawlers_name_is_erased(
    database: str, engine: AsyncEngine, field: str, has_events: bool, claim_first: bool
) -> None:
    """What a crawler says of an id makes no link and no customer, and has to be found all the same."""
    person, other = IDS[:2]
    shown = Touchpoint(START_US, 0, "m0", other, "track", "Product Viewed", user_id=other, received_us=START_US)
    crawled = shown._replace(message_id="m1", bot=True)
    log = [crawled._replace(anonymous_id=person) if field == "anonymous_id" else crawled._replace(previous_id=person)]
    if has_events:
        log.append(shown._replace(actor=person, user_id="", anonymous_id=person))
    pipeline = await open_pipeline(engine, database)
    claim = claim_of(pipeline, 0, Erased(frozenset([person]), None))
    if claim_first:
        await pipeline.claim([claim])
    pipeline.send(log)
    await pipeline.finish()
    if not claim_first:
        await pipeline.claim([claim])
        await pipeline.finish()
    await pipeline.erase_all()
    (fact,) = await facts_of(pipeline)
    assert (fact["anonymous_id"], fact["previous_id"]) == (None, None)
    await assert_nothing_left(pipeline, Erased(frozenset([person]), None))
