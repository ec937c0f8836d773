"""One source sends without end: it has its limit, and nobody else waits for it."""

import asyncio
import gzip
import json
import statistics
import sys
import time
from asyncio.subprocess import PIPE

import httpx
import pytest

from tests.support.flood import EVENTS
from tests.support.stack import Stack, until
from tests.support.topic import read_touchpoints
from throughline.kit.clock import now_us
from throughline.store.access.sources import create_source
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

RATE = 2_000
SECONDS = 12.0
P99_SECONDS = 1.0
VISIBLE_SECONDS = 10.0
"""Both are wide, because tests share their processors: 0.25 s and 2 s is what is promised."""


async def key_of_another_source(stack: Stack) -> str:
    engine = create_engine(stack.database)
    try:
        async with transaction(engine) as connection:
            await create_source(connection, stack.workspace, "till", now_us=now_us())
            return await create_write_key(connection, stack.workspace, "till", now_us=now_us())
    finally:
        await engine.dispose()


async def test_a_source_at_its_limit_is_in_nobodys_way(stack: Stack) -> None:
    other_key = await key_of_another_source(stack)
    ingest = await stack.start("ingest", RATE_LIMIT_EVENTS=str(RATE), RATE_LIMIT_BURST=str(RATE))
    await stack.start("stager")
    api = await stack.start("api")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.support.flood", ingest.url, stack.write_key, str(SECONDS), stdout=PIPE
    )
    ends_at = time.monotonic() + SECONDS
    seconds: list[float] = []
    visible_seconds: list[float] = []

    async def watch(reader: httpx.AsyncClient, actor: str, started: float) -> None:
        async def is_visible() -> bool:
            return (await reader.get(f"/v1/customers/{actor}/journey")).status_code == 200

        await until(is_visible, what="the event in the api")
        visible_seconds.append(time.monotonic() - started)

    async def send_single_events() -> None:
        async with (
            httpx.AsyncClient(base_url=ingest.url, auth=(other_key, ""), timeout=30) as client,
            stack.api(api) as reader,
            asyncio.TaskGroup() as watches,
        ):
            number = 0
            while time.monotonic() < ends_at:
                number += 1
                started = time.monotonic()
                event = {"event": "Product Viewed", "userId": f"ada-{number}"}
                assert (await client.post("/v1/track", json=event)).status_code == 200
                seconds.append(time.monotonic() - started)
                if number % 20 == 1:
                    watches.create_task(watch(reader, f"ada-{number}", started))
                await asyncio.sleep(0.05)

    await send_single_events()
    output, _ = await process.communicate()
    answers = json.loads(output)
    p99 = statistics.quantiles(seconds, n=100)[98]
    print(
        f"single events: {len(seconds)}, p99 {p99:.3f} s, visible after {max(visible_seconds):.2f} s; flood {answers}"
    )
    assert set(answers) == {"200", "429"}
    assert answers["200"] * EVENTS <= RATE * (SECONDS + 5) + 2 * EVENTS
    assert p99 < P99_SECONDS
    assert max(visible_seconds) < VISIBLE_SECONDS


async def test_a_small_body_does_not_become_a_large_log(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> None:
    """253 bytes of gzip wrote 16 MB: what a batch shares stood in the copy of each of its events."""
    ingest = await stack.start("ingest")
    event = '{"type":"track","event":"E","userId":"u"}'
    body = '{"context":{"a":"' + "x" * 32_000 + '"},"batch":[' + ",".join([event] * 500) + "]}"
    packed = gzip.compress(body.encode())
    assert len(packed) < 1_000
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=30) as client:
        answer = await client.post("/v1/batch", content=packed)
    assert answer.json()["accepted"] == 500
    codes = [verdict.get("code") for verdict in answer.json()["verdicts"]]
    assert codes[-1] == "shared_left_out"
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert len(touchpoints) == 500
    assert sum(len(touchpoint.rest) for touchpoint in touchpoints) < 4_500_000
    logs = tmp_path_factory.getbasetemp().glob(f"kafka*/**/{stack.touchpoints}-[0-9]/*.log")
    assert 0 < sum(log.stat().st_size for log in logs) < 200_000
