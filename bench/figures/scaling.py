"""Cost at a million customers: of a query of the counts, and in the memory of ingest and stager.

After the warm-up every event is of a new customer, sent in batches of 500 through ingest and staged by one stager
process. Queries of this database take turns with queries of one with a thousand customers.
"""

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import asyncpg
import httpx
import psutil

from bench.figures.staging import until_staged
from bench.load import Spec
from bench.report import Goal, Row
from bench.servers import Deployment, Servers, Sizes, port_of, print_progress, send
from services.api.phases.queries import read_live_counts
from services.api.shared.queries import CustomerFilter
from tests.support.stack import Service
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading

EVENTS = 500
FEW = 1_000
STATEMENTS = 200
"""Number of statements per database and round."""
CACHED_SECONDS = 0.27
"""The api answers from its cache for 250 ms: each request is sent after that time."""
STEPS = 3
"""Number of equal parts of the customers; memory is read after each."""
READINGS = 3
READING_PAUSE_SECONDS = 0.5


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Cost of the counts with few and with many customers; memory of ingest and stager before and after the many."""
    async with AsyncExitStack() as stack:
        few = await _site(servers, stack)
        stager, ingest = await few.run("stager"), await few.run("ingest")
        await _send(few, ingest, stager, FEW, before=0)
        await few.stop()
        few.services.clear()

        many = await _site(servers, stack)
        stager, ingest = await many.run("stager"), await many.run("ingest")
        rows = await _memory(many, ingest, stager, sizes)
        await ingest.child.stop()
        await stager.child.stop()
        await servers.checkpoint()
        rows += await _counts(few, many, sizes)
    return rows


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The stager, profiled while every event is a new customer."""
    async with AsyncExitStack() as stack:
        deployment = await _site(servers, stack)
        stager, ingest = await deployment.run("stager", profile=file), await deployment.run("ingest")
        await _send(deployment, ingest, stager, sizes.warm_customers, before=0)


async def _site(servers: Servers, stack: AsyncExitStack) -> Deployment:
    return await stack.enter_async_context(servers.deployment(await stack.enter_async_context(servers.topic())))


async def _send(
    deployment: Deployment, ingest: Service, stager: Service, events: int, *, before: int, customers: int = 0
) -> None:
    """Send events after `before` others and wait until they are staged: of so many customers, 0 = each of a new one."""
    connection = await asyncpg.connect(deployment.database)
    try:
        spec = Spec(
            port=port_of(ingest),
            key=deployment.write_key,
            events=EVENTS,
            connections=4,
            customers=customers,
            prefix="m",
            first=before // EVENTS,
            requests=events // EVENTS,
        )
        result = await send(spec)
        await until_staged(connection, stager, deployment.touchpoints, before + result.events)
    finally:
        await connection.close()


# --- memory -----------------------------------------------------------------------------------------------------------


async def _memory(deployment: Deployment, ingest: Service, stager: Service, sizes: Sizes) -> list[Row]:
    services = {"ingest": ingest, "stager": stager}
    # As many events as it takes for full batches and buffers, of few customers.
    await _send(deployment, ingest, stager, sizes.warm_events, before=0, customers=sizes.warm_customers)
    sent = sizes.warm_events
    resident = [await _resident(services)]
    began = time.perf_counter()
    for _ in range(STEPS):
        part = sizes.customers // STEPS // EVENTS * EVENTS
        await _send(deployment, ingest, stager, part, before=sent)
        sent += part
        resident.append(await _resident(services))
        memory = ", ".join(f"{name} {resident[-1][name]:.1f} MB" for name in services)
        print_progress(
            f"scaling: {sent - sizes.warm_events:,} new customers, {memory}, {time.perf_counter() - began:.0f} s"
        )
    rows = []
    for name in services:
        first, *_, last = (megabytes[name] for megabytes in resident)
        path = ", ".join(f"{megabytes[name]:.1f}" for megabytes in resident)
        rows.append(
            Row(
                name=f"resident memory of {name}: growth",
                unit="%",
                rounds=[100 * (last / first - 1)],
                goal=Goal("value", most=5),
                note=f"{path} MB: after {sizes.warm_events:,} events of {sizes.warm_customers:,} customers, and after "
                f"each third of {sent - sizes.warm_events:,} new ones; one run",
            )
        )
    return rows


async def _resident(services: dict[str, Service]) -> dict[str, float]:
    """Megabytes by name, each the median of a few readings."""
    readings = []
    for _ in range(READINGS):
        await asyncio.sleep(READING_PAUSE_SECONDS)
        readings.append({name: psutil.Process(s.child.pid).memory_info().rss / 2**20 for name, s in services.items()})
    return {name: median(reading[name] for reading in readings) for name in services}


# --- counts -----------------------------------------------------------------------------------------------------------


class _Latencies(NamedTuple):
    """Median milliseconds of each round."""

    statement: list[float]
    endpoint: list[float]


async def _counts(few: Deployment, many: Deployment, sizes: Sizes) -> list[Row]:
    latencies = [_Latencies([], []), _Latencies([], [])]
    async with AsyncExitStack() as stack:
        clients = []
        for deployment in (few, many):
            await deployment.run("api")
            clients.append(await stack.enter_async_context(deployment.api(deployment.services[-1])))
        engines = [create_engine(deployment.database) for deployment in (few, many)]
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        for number in range(sizes.rounds + 1):
            statements: list[list[float]] = [[], []]
            for _ in range(STATEMENTS):
                for index, (engine, deployment) in enumerate(zip(engines, (few, many), strict=True)):
                    async with reading(engine) as connection:
                        began = time.perf_counter()
                        counts = await read_live_counts(
                            connection,
                            deployment.workspace_id,
                            None,
                            deployment.touchpoints,
                            CustomerFilter(),
                        )
                        statements[index].append(time.perf_counter() - began)
                        assert counts is not None
                        assert counts.sums
            endpoints: list[list[float]] = [[], []]
            for _ in range(sizes.counts_requests):
                turn = time.perf_counter()
                for index, client in enumerate(clients):
                    endpoints[index].append(await _seconds_of_request(client))
                await asyncio.sleep(turn + CACHED_SECONDS - time.perf_counter())
            if number == 0:  # warm-up
                continue
            for index in (0, 1):
                latencies[index].statement.append(1e3 * median(statements[index]))
                latencies[index].endpoint.append(1e3 * median(endpoints[index]))
            print_progress(
                f"scaling: counts p50 {latencies[0].statement[-1]:.2f} and {latencies[1].statement[-1]:.2f} ms in SQL, "
                f"{latencies[0].endpoint[-1]:.2f} and {latencies[1].endpoint[-1]:.2f} ms by HTTP"
            )
        customers = [(await client.get("/v1/phases/counts")).json()["customers"] for client in clients]
    names = {"statement": "phase counts, SQL p50", "endpoint": "phase counts, HTTP p50 (nothing cached)"}
    return [
        Row(
            name=name,
            unit="ms",
            rounds=getattr(latencies[1], field),
            baseline=f"with {customers[0]:,} customers",
            baseline_rounds=getattr(latencies[0], field),
            goal=Goal("ratio", most=1.2),
            note=f"{customers[1]:,} placed customers",
        )
        for field, name in names.items()
    ]


async def _seconds_of_request(client: httpx.AsyncClient) -> float:
    began = time.perf_counter()
    answer = await client.get("/v1/phases/counts")
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds
