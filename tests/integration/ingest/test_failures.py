"""The ingest service when its surroundings fail: nothing acknowledged is lost, and it comes back by itself."""

import asyncio
import os
import signal
import time

import httpx
import psutil

from tests.support.events import event
from tests.support.load import Load
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_touchpoints
from throughline.local import LocalKafka, LocalPostgres, free_port


async def in_the_log(stack: Stack) -> set[str]:
    return {touchpoint.message_id for touchpoint in await read_touchpoints(stack.kafka, stack.touchpoints)}


async def test_a_killed_broker_is_a_503_and_then_a_200(stack: Stack, kafka: LocalKafka) -> None:
    ingest = await stack.start("ingest", ACK_SECONDS="1")
    load = Load(ingest, stack.write_key)
    try:
        await load.reaches(200, 20)
        await kafka.kill()
        await load.reaches(503, 20)
        async with httpx.AsyncClient(base_url=ingest.url) as client:
            ready = await client.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["checks"]["kafka"] != "ok"
            assert (await client.get("/healthz")).status_code == 200
        await kafka.start()
        await load.reaches(200, 50)
        await ingest.ready()
    finally:
        if not kafka.pid or not psutil.pid_exists(kafka.pid):
            await kafka.start()
        await load.stop()
    assert set(load.statuses) <= {200, 503}
    assert load.retry_after == {"1"}
    assert load.acknowledged <= await in_the_log(stack)


async def test_a_broker_that_hangs_is_a_503_within_the_limit(stack: Stack, kafka: LocalKafka) -> None:
    ingest = await stack.start("ingest", ACK_SECONDS="1", QUEUE_EVENTS="100")
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=60) as client:
            started = time.monotonic()
            first = await client.post("/v1/batch", json={"batch": [event(1)]})
            assert first.status_code == 503
            assert time.monotonic() - started < 10
            full = await client.post("/v1/batch", json={"batch": [event(number) for number in range(200)]})
            assert (full.status_code, full.json()["code"]) == (503, "unavailable")
            assert int(full.headers["retry-after"]) > 0
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    await ingest.ready()
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=60) as client:
        too_many = await client.post("/v1/batch", json={"batch": [event(number) for number in range(200)]})
        assert too_many.status_code == 503
        assert "queue" in too_many.json()["message"]
        assert (await client.post("/v1/batch", json={"batch": [event(2)]})).status_code == 200
    assert await in_the_log(stack) >= {"message-2"}


async def test_sigterm_finishes_what_was_accepted(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    load = Load(ingest, stack.write_key)
    try:
        await load.reaches(200, 20)
        os.kill(ingest.child.pid, signal.SIGTERM)
        async with asyncio.timeout(30):
            assert await ingest.child.wait() == 0
    finally:
        await load.stop()
    assert set(load.statuses) <= {0, 200}
    assert load.acknowledged <= await in_the_log(stack)


async def test_several_workers_add_up_and_a_killed_one_comes_back(stack: Stack) -> None:
    ingest = await stack.start("ingest", WORKERS="2")
    parent = psutil.Process(ingest.child.pid)

    def workers() -> dict[int, psutil.Process]:
        workers = {}
        for process in parent.children(recursive=True):
            try:
                if any("spawn_main" in part for part in process.cmdline()):
                    workers[process.pid] = process
            except psutil.Error:
                continue
        return workers

    async def two() -> bool:
        return len(workers()) == 2

    await until(two)
    load = Load(ingest, stack.write_key, clients=16)
    try:
        await load.reaches(200, 50)
        killed = next(iter(workers()))
        os.kill(killed, signal.SIGKILL)

        async def replaced() -> bool:
            return len(workers()) == 2 and killed not in workers()

        await until(replaced)
        await load.reaches(200, 50)
    finally:
        await load.stop()
    assert load.acknowledged <= await in_the_log(stack)
    before = await summed(ingest)
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:
        accepted = 0
        while accepted < 10:  # on a new connection each, so of both workers; the new one may not have found Kafka yet
            answer = await client.post("/v1/batch", json={"batch": [event(accepted)]}, headers={"Connection": "close"})
            assert answer.status_code in (200, 503)
            accepted += answer.status_code == 200

    async def all_counted() -> bool:
        return await summed(ingest) == before + 10

    await until(all_counted, what="the sum of both workers")
    os.kill(ingest.child.pid, signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await ingest.child.wait() == 0

    async def none_left() -> bool:
        return not parent.is_running() or not workers()

    await until(none_left)


async def summed(ingest: Service) -> float:
    """The count of ok events over all workers, once it stands still."""
    last = -1.0

    async def still() -> bool:
        nonlocal last
        previous, last = last, (await ingest.metrics()).get('throughline_ingest_events_total{outcome="ok"}', 0.0)
        await asyncio.sleep(0.3)
        return previous == last

    await until(still)
    return last


async def test_with_postgres_away_known_keys_go_on(stack: Stack, postgres: LocalPostgres) -> None:
    ingest = await stack.start("ingest")
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=30) as client:
        await postgres.kill()
        try:

            async def stale() -> bool:
                return (await ingest.metrics())["throughline_ingest_keys_age_seconds"] > 1.5

            await until(stale)
            assert (await client.post("/v1/batch", json={"batch": [event(1)]})).status_code == 200
            assert (await client.get("/readyz")).status_code == 200
            late = await stack.start("ingest", ready=False)
            async with httpx.AsyncClient(base_url=late.url, auth=(stack.write_key, "")) as other:

                async def listening() -> bool:
                    try:
                        return (await other.get("/healthz")).status_code == 200
                    except httpx.HTTPError:
                        return False

                await until(listening)
                assert (await other.get("/readyz")).status_code == 503
                refused = await other.post("/v1/batch", json={"batch": [event(2)]})
                assert (refused.status_code, refused.json()["code"]) == (503, "keys_unavailable")
                assert refused.headers["retry-after"] == "1"
        finally:
            await postgres.start()
        await late.ready()

        async def fresh() -> bool:
            return (await ingest.metrics())["throughline_ingest_keys_age_seconds"] < 1.5

        await until(fresh)


async def test_it_starts_before_its_broker(stack: Stack) -> None:
    stack.kafka = f"127.0.0.1:{free_port()}"
    ingest = await stack.start("ingest", ready=False)
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client:

        async def keys_known() -> bool:
            try:
                return bool((await client.get("/readyz")).json()["checks"]["keys"] == "ok")
            except httpx.HTTPError:
                return False

        await until(keys_known)
        answer = await client.post("/v1/batch", json={"batch": [event(1)]})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    os.kill(ingest.child.pid, signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await ingest.child.wait() == 0
