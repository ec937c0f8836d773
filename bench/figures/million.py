"""A million customers: what the counts cost then, and what they left in the memory of the services.

After the warm-up every event is a new customer, sent in batches of 500 through ingest and staged by one stager process.
The counts of this database take turns with those of one with a thousand customers.
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

from bench.bed import Bed, Scale, Site, port_of, say, send
from bench.figures.staging import until_staged
from bench.load import Spec
from bench.report import Goal, Row
from services.api.shared.queries import live_counts
from tests.support.stack import Service
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading

EVENTS = 500
FEW = 1_000
STATEMENTS = 200
"""Statements per database and round."""
CACHED_SECONDS = 0.27
"""The api answers from memory for 250 ms: each request waits until that is over."""
STEPS = 3
"""Memory is read after each third of the customers, too."""
READINGS = 3
READING_PAUSE_SECONDS = 0.5


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """Cost of the counts with few and with many customers; memory of ingest and stager before and after the many."""
    async with AsyncExitStack() as stack:
        few = await _site(bed, stack)
        stager, ingest = await few.run("stager"), await few.run("ingest")
        await _send(few, ingest, stager, FEW, before=0)
        await few.stop()
        few.services.clear()

        many = await _site(bed, stack)
        stager, ingest = await many.run("stager"), await many.run("ingest")
        rows = await _memory(many, ingest, stager, scale)
        await ingest.child.stop()
        await stager.child.stop()
        await bed.settle()
        rows += await _counts(few, many, scale)
    return rows


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """The stager, profiled while every event is a new customer."""
    async with AsyncExitStack() as stack:
        site = await _site(bed, stack)
        stager, ingest = await site.run("stager", profile=file), await site.run("ingest")
        await _send(site, ingest, stager, scale.warm_customers, before=0)


async def _site(bed: Bed, stack: AsyncExitStack) -> Site:
    return await stack.enter_async_context(bed.site(await stack.enter_async_context(bed.topic())))


async def _send(site: Site, ingest: Service, stager: Service, events: int, *, before: int, customers: int = 0) -> None:
    """Send events after `before` others and wait until they are staged: of so many customers, 0 = each of a new one."""
    connection = await asyncpg.connect(site.database)
    try:
        spec = Spec(
            port=port_of(ingest),
            key=site.write_key,
            events=EVENTS,
            connections=4,
            customers=customers,
            prefix="m",
            first=before // EVENTS,
            requests=events // EVENTS,
        )
        result = await send(spec)
        await until_staged(connection, stager, site.touchpoints, before + result.events)
    finally:
        await connection.close()


# --- memory -----------------------------------------------------------------------------------------------------------


async def _memory(site: Site, ingest: Service, stager: Service, scale: Scale) -> list[Row]:
    services = {"ingest": ingest, "stager": stager}
    # As many events as it takes for full batches and buffers, of few customers.
    await _send(site, ingest, stager, scale.warm_events, before=0, customers=scale.warm_customers)
    sent = scale.warm_events
    resident = [await _resident(services)]
    began = time.perf_counter()
    for _ in range(STEPS):
        part = scale.customers // STEPS // EVENTS * EVENTS
        await _send(site, ingest, stager, part, before=sent)
        sent += part
        resident.append(await _resident(services))
        told = ", ".join(f"{name} {resident[-1][name]:.1f} MB" for name in services)
        say(f"million: {sent - scale.warm_events:,} new customers, {told}, {time.perf_counter() - began:.0f} s")
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
                note=f"{path} MB: after {scale.warm_events:,} events of {scale.warm_customers:,} customers, and after "
                f"each third of {sent - scale.warm_events:,} new ones; one run",
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


class _Asked(NamedTuple):
    """p50 in milliseconds of each round."""

    statement: list[float]
    endpoint: list[float]


async def _counts(few: Site, many: Site, scale: Scale) -> list[Row]:
    asked = [_Asked([], []), _Asked([], [])]
    async with AsyncExitStack() as stack:
        clients = []
        for site in (few, many):
            await site.run("api")
            clients.append(await stack.enter_async_context(site.api(site.services[-1])))
        engines = [create_engine(site.database) for site in (few, many)]
        for engine in engines:
            stack.push_async_callback(engine.dispose)
        for number in range(scale.rounds + 1):
            statements: list[list[float]] = [[], []]
            for _ in range(STATEMENTS):
                for index, (engine, site) in enumerate(zip(engines, (few, many), strict=True)):
                    async with reading(engine) as connection:
                        began = time.perf_counter()
                        found = await live_counts(connection, site.workspace_id, None, site.touchpoints, None, None)
                        statements[index].append(time.perf_counter() - began)
                        assert found is not None
                        assert found.sums
            endpoints: list[list[float]] = [[], []]
            for _ in range(scale.asks):
                turn = time.perf_counter()
                for index, client in enumerate(clients):
                    endpoints[index].append(await _ask(client))
                await asyncio.sleep(turn + CACHED_SECONDS - time.perf_counter())
            if number == 0:  # warm-up
                continue
            for index in (0, 1):
                asked[index].statement.append(1e3 * median(statements[index]))
                asked[index].endpoint.append(1e3 * median(endpoints[index]))
            say(
                f"million: counts p50 {asked[0].statement[-1]:.2f} and {asked[1].statement[-1]:.2f} ms in SQL, "
                f"{asked[0].endpoint[-1]:.2f} and {asked[1].endpoint[-1]:.2f} ms by HTTP"
            )
        customers = [(await client.get("/v1/phases/counts")).json()["customers"] for client in clients]
    names = {"statement": "phase counts, SQL p50", "endpoint": "phase counts, HTTP p50 (nothing cached)"}
    return [
        Row(
            name=name,
            unit="ms",
            rounds=getattr(asked[1], field),
            baseline=f"with {customers[0]:,} customers",
            baseline_rounds=getattr(asked[0], field),
            goal=Goal("ratio", most=1.2),
            note=f"{customers[1]:,} placed customers",
        )
        for field, name in names.items()
    ]


async def _ask(client: httpx.AsyncClient) -> float:
    began = time.perf_counter()
    answer = await client.get("/v1/phases/counts")
    seconds = time.perf_counter() - began
    answer.raise_for_status()
    return seconds
