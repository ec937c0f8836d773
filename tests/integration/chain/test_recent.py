"""The last events of a source: the law of the rings on real PostgreSQL, and what a person who wires up an SDK sees."""

import itertools
from typing import Any

import asyncpg
import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.events.answers import RecentEvents
from tests.support.answers import ok
from tests.support.pipeline import PARTITIONS, open_pipeline
from tests.support.stack import Stack, until
from throughline.journey.touchpoint import Touchpoint
from throughline.store.recent import RING_SIZE
from throughline.wire.codec import partition_of

sources = itertools.count(1_000, 2)
START_US = 1_700_000_000_000_000


sent = st.tuples(
    st.integers(0, 1), st.sampled_from(["ada", "bob", "cy"]), st.integers(0, 60), st.integers(0, 2).map(bool)
)
"""Which source, whose, which message id, and whether it says the usual."""
Sent = tuple[int, str, int, bool]


def event(source: int, sent_event: Sent) -> Touchpoint:
    _, actor, message, usual = sent_event
    warnings = () if usual else ("wrong_type",)
    name = "Product Viewed" if usual else "Order Completed"
    return Touchpoint(
        START_US,
        0,
        f"m{message}",
        actor,
        "track",
        name,
        0,
        source + sent_event[0],
        "direct",
        START_US,
        warnings=warnings,
    )


Rings = dict[tuple[int, int, bool], list[tuple[int, str, str]]]
"""By source, partition, and whether with warnings: (number, message id, warnings), oldest first."""


def became(source: int, log: list[Sent]) -> Rings:
    """What the rings hold of a log."""
    first: dict[tuple[str, int], bool] = {}
    rings: Rings = {}
    for which, actor, message, usual in log:
        codes = [] if usual else ["wrong_type"]
        if (actor, message) in first:
            codes.append("duplicate" if first[actor, message] == usual else "conflict")
        first.setdefault((actor, message), usual)
        ring = rings.setdefault((source + which, partition_of(actor.encode(), PARTITIONS), not usual), [])
        ring.append((len(ring) + 1, f"m{message}", ",".join(codes)))
    return {place: ring[-RING_SIZE:] for place, ring in rings.items()}


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    log=st.lists(sent, min_size=100, max_size=250),
    cuts=st.lists(st.tuples(st.integers(1, 80), st.booleans()), min_size=1),
)
async def test_however_a_log_is_cut_the_rings_hold_the_last_of_it(
    database: str, engine: AsyncEngine, log: list[Sent], cuts: list[tuple[int, bool]]
) -> None:
    source = next(sources)
    pipeline = await open_pipeline(engine, database)
    pipeline.send([event(source, sent_event) for sent_event in log])
    for (size, dies), partition in zip(itertools.cycle(cuts), itertools.cycle(range(PARTITIONS)), strict=False):
        await pipeline.stage(partition, size, dies=dies)
        if not any(pipeline.waiting):
            break
    connection = await asyncpg.connect(database)
    rows = await connection.fetch(
        "SELECT * FROM recent_events WHERE source >= $1 ORDER BY source, shard, number", source
    )
    await connection.close()
    rings: Rings = {}
    for row in rows:
        warned = "wrong_type" in row["warnings"]
        assert row["slot"] == RING_SIZE * warned + row["number"] % RING_SIZE
        ring = rings.setdefault((row["source"], row["shard"], warned), [])
        ring.append((row["number"], row["message_id"], row["warnings"]))
    assert rings == became(source, log)


CALL = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "good"}
ODD = CALL | {"messageId": "odd", "anonymousId": "null"}
NAMELESS = {"type": "track", "userId": "ada", "messageId": "bad"}
URL = "/v1/events/recent"


async def test_whoever_wires_up_an_sdk_sees_what_became_of_each_event(stack: Stack) -> None:
    ingest, _, service = [await stack.start(name) for name in ("ingest", "stager", "api")]

    async with stack.api(service) as api, httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as sdk:
        assert (await sdk.post("/v1/batch", json={"batch": [CALL, ODD, NAMELESS]})).status_code == 200
        assert (await sdk.post("/v1/batch", json={"batch": [CALL]})).status_code == 200

        async def shown() -> Any:
            body = await ok(api, URL, RecentEvents, source="web")
            # Partitions that nothing has come to have a watermark of their own, a moment later.
            return body if len(body["items"]) == 4 and body["as_of"] else None

        body = await until(shown, what="four events to be shown")
        by_id: dict[str, list[Any]] = {}
        for item in body["items"]:
            by_id.setdefault(item["message_id"], []).append(item)
        again, good = by_id["good"]
        assert (good["verdict"], good["actor"], good["call"], good["name"]) == ("ok", "ada", "track", "Product Viewed")
        assert (good["source"], good["channel"], good["bot"], good["warnings"]) == ("web", "direct", False, [])
        assert [warning["code"] for warning in again["warnings"]] == ["duplicate"]
        (odd,) = by_id["odd"]
        assert (odd["verdict"], odd["warnings"][0]["code"]) == ("warning", "illegal_id")
        assert "placeholder" in odd["warnings"][0]["explanation"]
        (bad,) = by_id["bad"]
        assert (bad["verdict"], bad["actor"]) == ("rejected", None)
        assert (bad["refused"]["code"], bad["refused"]["field"]) == ("missing_field", "event")
        assert httpx.Response(200, text=bad["refused"]["payload"]).json() == NAMELESS
        assert [(count["code"], count["events"], count["kept"]) for count in body["counts"]] == [
            ("missing_field", 1, 1)
        ]
