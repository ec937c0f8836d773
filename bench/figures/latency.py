"""End-to-end latency: from an event's 200 to its count, while ingest and one stager run at half of what they sustain.

First events are sent as fast as ingest accepts them; the rate at which all of them are staged is what the chain
sustains. Then batches of events of the same customers are sent at half of that rate, and beside them single probes of
new customers. Each prober has a source of its own and at most one probe under way, so that the count of its source
shows which probe has been counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from statistics import median
from typing import NamedTuple

import asyncpg
import httpx

from bench.figures.staging import until_staged
from bench.load import Spec
from bench.report import Goal, Row
from bench.servers import Deployment, Servers, Sizes, port_of, print_progress, send
from tests.support.stack import Service
from throughline.kit.clock import now_us
from throughline.store.access.sources import create_source
from throughline.store.access.write_keys import create_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

EVENTS = 100
CUSTOMERS = 20_000
PROBERS = 8
API_PROBERS = 3
SELECT_PAUSE_SECONDS = 0.002
API_PAUSE_SECONDS = 0.025
LONGEST_REST_SECONDS = 0.1
PATIENCE_SECONDS = 30.0
ROUND = 1_000_000
"""Distance between the first request numbers of two runs of the load generator."""
_COUNTED = """
SELECT source, sum(active + lapsed)::bigint FROM phase_counts WHERE model = $1 AND source > 1 GROUP BY source
"""


class Prober(NamedTuple):
    """A source that only probes write to; `id` is the source's."""

    id: int
    name: str
    key: str


class Chain(NamedTuple):
    """What is measured: one deployment with its services running and `half` of its rate in events a second."""

    deployment: Deployment
    ingest: Service
    api: Service
    probers: list[Prober]
    half: float


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """p50 and p99 of the time from a probe's 200 to its count, in a SELECT and in the api's answer."""
    in_table: list[list[float]] = []
    in_api: list[list[float]] = []
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        chain = await _start(servers, deployment, sizes)
        for number in range(sizes.rounds):
            first = (2 * number + 1) * ROUND
            in_table.append(await _under_load(chain, sizes.latency_seconds, first, _probe_table))
            in_api.append(await _under_load(chain, sizes.latency_seconds / 2, first + ROUND, _probe_api))
            print_progress(f"latency: SELECT {_text(in_table[-1])}; api {_text(in_api[-1])}")
    load = f"{chain.half:,.0f} events/s, half of what the chain sustains here"
    note = f"{load}; {sum(map(len, in_table))} probes, polled every {SELECT_PAUSE_SECONDS * 1e3:g} ms"
    api_note = f"{sum(map(len, in_api))} probes; the api asks the database at most every 250 ms"
    rows = [
        Row(
            name="ingest and one stager together",
            unit="events/s",
            rounds=[2 * chain.half],
            goal=Goal("value", least=20_000),
            note=f"batches of {EVENTS}, from the first event that is staged to the last",
        )
    ]
    for q, label, most in ((0.5, "p50", 100), (0.99, "p99", 200)):
        values = [_quantile(times, q) for times in in_table]
        goal = Goal("value", most=most)
        rows.append(Row(name=f"latency to the counts, {label}", unit="ms", rounds=values, goal=goal, note=note))
        note = ""
    for q, label in ((0.5, "p50"), (0.99, "p99")):
        values = [_quantile(times, q) for times in in_api]
        rows.append(Row(name=f"latency to the api's answer, {label}", unit="ms", rounds=values, note=api_note))
        api_note = ""
    return rows


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The stager at half load, profiled."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        chain = await _start(servers, deployment, sizes, profile=file)
        times = await _under_load(chain, sizes.latency_seconds, ROUND, _probe_table)
        print_progress(f"latency: {_text(times)} under the profiler, {chain.half:,.0f} events/s")


async def _start(servers: Servers, deployment: Deployment, sizes: Sizes, *, profile: Path | None = None) -> Chain:
    probers = await _make_probers(deployment)
    stager = await deployment.run("stager", profile=profile)
    ingest = await deployment.run("ingest")
    api = await deployment.run("api", TOKEN_REQUESTS="0")  # probes ask more often than a token may
    connection = await asyncpg.connect(deployment.database)
    try:
        warm_up = await send(_spec(ingest, deployment, requests=CUSTOMERS // EVENTS))
        await until_staged(connection, stager, deployment.touchpoints, warm_up.events)
        sending = asyncio.create_task(
            send(_spec(ingest, deployment, first=CUSTOMERS // EVENTS, requests=int(sizes.latency_seconds * 150)))
        )
        began = await until_staged(connection, stager, deployment.touchpoints, warm_up.events + 1)
        result = await sending
        ended = await until_staged(connection, stager, deployment.touchpoints, warm_up.events + result.events)
        sustained = result.events / (ended - began)
    finally:
        await connection.close()
    print_progress(f"latency: the chain sustains {sustained:,.0f} events/s")
    return Chain(deployment, ingest, api, probers, sustained / 2)


async def _make_probers(deployment: Deployment) -> list[Prober]:
    engine = create_engine(deployment.database)
    try:
        async with transaction(engine) as connection:
            probers = []
            for number in range(PROBERS):
                name = f"probe-{number}"
                source = await create_source(connection, deployment.workspace, name, now_us=now_us())
                key = await create_write_key(connection, deployment.workspace, name, now_us=now_us())
                probers.append(Prober(source, name, key))
            return probers
    finally:
        await engine.dispose()


Probe = Callable[[Chain, httpx.AsyncClient, float], Awaitable[list[float]]]


async def _under_load(chain: Chain, seconds: float, first: int, probe: Probe) -> list[float]:
    """Latencies in seconds, probed for `seconds` while the load runs."""
    spec = _spec(chain.ingest, chain.deployment, first=first, rate=chain.half / EVENTS, seconds=seconds + 2)
    sending = asyncio.create_task(send(spec))
    try:
        # The generator starts and warms up for two seconds and stays on after the last probe.
        await asyncio.sleep(2.0)
        async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
            times = await probe(chain, client, time.perf_counter() + seconds)
    except BaseException:
        sending.cancel()
        raise
    result = await sending
    if result.event_rate < 0.95 * chain.half:
        raise RuntimeError(f"the load was to be {chain.half:,.0f} events/s and was {result.event_rate:,.0f}")
    return times


async def _probe_table(chain: Chain, client: httpx.AsyncClient, until: float) -> list[float]:
    """Latencies from the 200 to a SELECT that returns the count. All probers run at once and share one polling loop."""
    counts_by_source: dict[int, int] = {}
    changed = asyncio.Event()
    connection = await asyncpg.connect(chain.deployment.database)

    async def poll() -> None:
        statement = await connection.prepare(_COUNTED)
        while True:
            rows = await statement.fetch(chain.deployment.model)
            counts_by_source.update((source, count) for source, count in rows)
            changed.set()
            await asyncio.sleep(SELECT_PAUSE_SECONDS)

    async def wait_for(prober: Prober, expected: int) -> None:
        while counts_by_source.get(prober.id, 0) < expected:
            changed.clear()
            await changed.wait()

    async def probe(prober: Prober) -> list[float]:
        return await _probe(chain, client, prober, until, before=counts_by_source.get(prober.id, 0), wait_for=wait_for)

    polling = asyncio.create_task(poll())
    try:
        await changed.wait()
        times = await asyncio.gather(*(probe(prober) for prober in chain.probers))
    finally:
        polling.cancel()
        await asyncio.wait([polling])
        await connection.close()
    return [seconds for of_prober in times for seconds in of_prober]


async def _probe_api(chain: Chain, client: httpx.AsyncClient, until: float) -> list[float]:
    """Latencies from the 200 to an answer of the api with the count. Fewer probers, as each of them sends requests."""
    headers = {"Authorization": f"Bearer {chain.deployment.read_token}"}

    async def counted(prober: Prober) -> int:
        answer = await client.get(f"{chain.api.url}/v1/phases/counts", params={"source": prober.name}, headers=headers)
        counts = answer.raise_for_status().json()
        return int(counts["customers"]) + int(counts["unplaced"])

    async def wait_for(prober: Prober, expected: int) -> None:
        while True:
            if await counted(prober) >= expected:
                return
            await asyncio.sleep(API_PAUSE_SECONDS)

    async def probe(prober: Prober) -> list[float]:
        return await _probe(chain, client, prober, until, before=await counted(prober), wait_for=wait_for)

    times = await asyncio.gather(*(probe(prober) for prober in chain.probers[:API_PROBERS]))
    return [seconds for of_prober in times for seconds in of_prober]


async def _probe(
    chain: Chain,
    client: httpx.AsyncClient,
    prober: Prober,
    until: float,
    *,
    before: int,
    wait_for: Callable[[Prober, int], Awaitable[None]],
) -> list[float]:
    times: list[float] = []
    random = Random(prober.id)
    while time.perf_counter() < until:
        user = f"{prober.name}-{before + len(times)}"
        event = {"userId": user, "messageId": user, "event": "Product Viewed", "properties": {"product_id": "TENT-2P"}}
        answer = await client.post(f"{chain.ingest.url}/v1/track", json=event, auth=(prober.key, ""))
        acknowledged = time.perf_counter()
        answer.raise_for_status()
        await asyncio.wait_for(wait_for(prober, before + len(times) + 1), PATIENCE_SECONDS)
        times.append(time.perf_counter() - acknowledged)
        await asyncio.sleep(random.uniform(0, LONGEST_REST_SECONDS))
    return times


def _quantile(seconds: list[float], q: float) -> float:
    """The q-quantile in milliseconds."""
    ordered = sorted(seconds)
    return 1e3 * ordered[min(len(ordered) - 1, int(len(ordered) * q))]


def _text(seconds: list[float]) -> str:
    return f"p50 {1e3 * median(seconds):.0f}, p99 {_quantile(seconds, 0.99):.0f} ms of {len(seconds)} probes"


def _spec(
    ingest: Service, deployment: Deployment, *, first: int = 0, requests: int = 0, rate: float = 0, seconds: float = 0
) -> Spec:
    return Spec(
        port=port_of(ingest),
        key=deployment.write_key,
        events=EVENTS,
        connections=16 if rate else 4,
        customers=CUSTOMERS,
        prefix="v",
        first=first,
        requests=requests,
        rate=rate,
        warm_seconds=1.0,
        seconds=seconds,
    )
