"""The stager: events a second of one process, the whole journey exactly once, beside plainer consumers.

One topic is filled once; each round stages it from its beginning into a fresh database, in a consumer group of its own.
Timed from the moment the process has its partitions to its last commit. Nothing is sent meanwhile.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import asyncpg
import httpx
import msgspec
import psutil
from aiokafka import AIOKafkaProducer

from bench.activity import activity_table, sampled_sessions
from bench.comparison import rate_row
from bench.events import log_of_actions, touchpoint
from bench.report import Goal, Row
from bench.servers import OURS, Checkout, Deployment, Servers, Sizes, print_progress, run_python
from tests.support.stack import Service
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.wire.codec import encode, partition_of

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
SPAN_US = 3 * 86_400 * 1_000_000
_STAGED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM offsets WHERE topic = $1"
_TOUCHPOINTS = "SELECT count(*) FROM touchpoints"
_RECOMPUTES_ASIDE = "SELECT to_regclass('recomputations') IS NOT NULL"
_MARKED = "SELECT count(*) FROM recomputations"
_COUNTED = "SELECT sum(active + lapsed)::bigint FROM phase_counts"


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Events a second of our stager and of each baseline, taking turns."""
    events = sizes.staged_events
    rates: dict[str, list[float]] = {"stager": [], "latest": [], "facts": [], "per_event": []}
    shares: list[str] = []
    async with servers.topic() as topic:
        customers = await fill(servers, topic, ordered_log(events))
        print_progress(f"staging: {events:,} events of {customers:,} customers on the topic")
        for _ in range(sizes.rounds):
            rate, share = await stage(servers, topic, events, customers)
            rates["stager"].append(rate)
            shares.append(share)
            await servers.checkpoint()
            for write in ("latest", "facts"):
                rates[write].append(await _baseline(servers, "plain_loop", topic, events, WRITE=write))
                await servers.checkpoint()
            rates["per_event"].append(await _baseline(servers, "per_event", topic, sizes.per_event_events))
            await servers.checkpoint()
            print_progress(
                "staging: " + ", ".join(f"{name} {values[-1]:,.0f} events/s" for name, values in rates.items())
            )
    return [
        Row(
            name="stager, one process",
            unit="events/s",
            rounds=rates["stager"],
            baseline="plain loop, latest event per customer",
            baseline_rounds=rates["latest"],
            goal=Goal("ratio", least=0.6),
            note=f"{events:,} events of {customers:,} customers; {shares[-1]}",
        ),
        Row(
            name="stager, one process",
            unit="events/s",
            rounds=rates["stager"],
            baseline="plain loop, every touchpoint",
            baseline_rounds=rates["facts"],
        ),
        Row(
            name="stager, one process",
            unit="events/s",
            rounds=rates["stager"],
            baseline="per-event aiokafka + SQLAlchemy",
            baseline_rounds=rates["per_event"],
            goal=Goal("ratio", least=30),
        ),
    ]


async def compare(servers: Servers, sizes: Sizes, other: Checkout) -> list[Row]:
    """Events a second of our stager, with analytics and without, and of the other checkout's, taking turns."""
    events = sizes.staged_events
    turns = {
        OURS.label: (OURS, None),
        "without analytics": (OURS, turn_analytics_off),
        other.label: (other, None),
    }
    rates: dict[str, list[float]] = {label: [] for label in turns}
    async with servers.topic() as topic:
        customers = await fill(servers, topic, ordered_log(events))
        for number in range(sizes.rounds):
            for label, (checkout, first) in sorted(turns.items(), reverse=number % 2 == 1):
                rate, share = await stage(servers, topic, events, customers, checkout=checkout, first=first)
                rates[label].append(rate)
                print_progress(f"staging: stager ({label}) {rate:,.0f} events/s; {share}")
                await servers.checkpoint()
    return [
        rate_row(name, "events/s", rates[label], rates[other.label], other)
        for name, label in (
            ("stager, one process", OURS.label),
            ("stager without analytics, one process", "without analytics"),
        )
    ]


async def turn_analytics_off(deployment: Deployment) -> None:
    """Let the stager keep phases only: no sums of funnels, no conversions."""
    connection = await asyncpg.connect(deployment.database)
    try:
        await connection.execute("UPDATE models SET has_funnels = false, has_conversions = false, has_trails = false")
    finally:
        await connection.close()


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The stager on the same topic: first its sessions in PostgreSQL sampled, then itself under the profiler."""
    async with servers.topic() as topic:
        customers = await fill(servers, topic, ordered_log(sizes.staged_events))
        rate, share = await stage(servers, topic, sizes.staged_events, customers, sample=True)
        print_progress(f"staging: {rate:,.0f} events/s with its sessions sampled; {share}")
        rate, share = await stage(servers, topic, sizes.staged_events, customers, profile=file)
        print_progress(f"staging: {rate:,.0f} events/s under the profiler; {share}")


def ordered_log(events: int) -> list[Touchpoint]:
    """A shop's log of so many events, in order per customer."""
    # Workspace and source are the first ones of a fresh database.
    start_us = now_us() - SPAN_US
    return [touchpoint(action, workspace=1, source=1, start_us=start_us) for action in log_of_actions(events)]


async def fill(servers: Servers, topic: str, log: Sequence[Touchpoint]) -> int:
    """Put a log on the topic. Returns the number of its users."""
    producer = AIOKafkaProducer(bootstrap_servers=servers.kafka.bootstrap, acks="all", max_batch_size=1024 * 1024)
    await producer.start()
    try:
        partitions = len(await producer.partitions_for(topic))
        batches = [producer.create_batch() for _ in range(partitions)]

        async def flush(partition: int) -> None:
            batches[partition].close()
            await (await producer.send_batch(batches[partition], topic, partition=partition))
            batches[partition] = producer.create_batch()

        for event in log:
            key, value, milliseconds = event.actor.encode(), encode(event), event.received_us // 1000
            partition = partition_of(key, partitions)
            if batches[partition].append(key=key, value=value, timestamp=milliseconds) is None:
                await flush(partition)
                batches[partition].append(key=key, value=value, timestamp=milliseconds)
        for partition in range(partitions):
            await flush(partition)
    finally:
        await producer.stop()
    return len({event.user_id for event in log} - {""})


async def stage(
    servers: Servers,
    topic: str,
    events: int,
    customers: int,
    *,
    profile: Path | None = None,
    sample: bool = False,
    first: Callable[[Deployment], Awaitable[None]] | None = None,
    then: Callable[[Deployment], Awaitable[float]] | None = None,
    checkout: Checkout = OURS,
) -> tuple[float, str]:
    """(events a second, the stager's share of a core), of one process that stages the whole topic, which is checked.

    Args:
        profile: file for the profile of the stager; it then runs under the profiler.
        sample: whether to sample its sessions in PostgreSQL and print what they did.
        first: prepares the database.
        then: does something else with what is staged while the stager runs; its seconds are those that count.
    """
    async with servers.deployment(topic, checkout) as deployment:
        assert deployment.workspace_id == 1
        if first is not None:
            await first(deployment)
        connection = await asyncpg.connect(deployment.database)
        try:
            stager = await deployment.run("stager", profile=profile, ready=False)
            began = await _until_joined(stager)
            used = _cpu(stager)
            async with sampled_sessions(deployment.database) if sample else contextlib.nullcontext() as samples:
                seconds = await until_staged(connection, stager, topic, events) - began
            if samples:
                print(activity_table(samples))
            used = _cpu(stager) - used
            await _until_recomputed(connection)
            staged = await connection.fetchval(_TOUCHPOINTS), await connection.fetchval(_COUNTED)
            if staged != (events, customers):
                raise RuntimeError(f"staged {staged} touchpoints and customers, expected {(events, customers)}")
            if then is not None:
                seconds = await then(deployment)
        finally:
            await connection.close()
    return events / seconds, f"the stager used {used / seconds:.2f} of a core"


async def _until_recomputed(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    """Wait until no journey is recomputed aside: new customers are not counted before. Old versions did so at once.

    Raises:
        RuntimeError: one still is after `PATIENCE_SECONDS`.
    """
    if not await connection.fetchval(_RECOMPUTES_ASIDE):
        return
    deadline = time.perf_counter() + PATIENCE_SECONDS
    while marked := await connection.fetchval(_MARKED):
        if time.perf_counter() > deadline:
            raise RuntimeError(f"{marked} journeys are still recomputed aside")
        await asyncio.sleep(POLL_SECONDS)


async def _until_joined(stager: Service) -> float:
    """Wait until the stager has its partitions. Returns the last instant at which it had none (`time.perf_counter`)."""
    without_partitions = time.perf_counter()
    async with httpx.AsyncClient(timeout=5) as client:
        while True:
            request_began = time.perf_counter()
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{stager.url}/readyz")).status_code == 200:
                    return without_partitions
            without_partitions = request_began
            if not stager.child.running:
                raise RuntimeError(f"the stager has ended:\n{stager.child.tail(40)}")
            await asyncio.sleep(POLL_SECONDS)


async def until_staged(
    connection: "asyncpg.Connection[asyncpg.Record]", stager: Service, topic: str, events: int
) -> float:
    """Wait until this many events of the topic are staged. Returns the instant (`time.perf_counter`).

    Raises:
        RuntimeError: the stager ended, or nothing was staged for a long time.
    """
    most, deadline = -1, 0.0
    while True:
        staged = await connection.fetchval(_STAGED, topic)
        now = time.perf_counter()
        if staged >= events:
            return now
        if staged > most:
            most, deadline = staged, now + PATIENCE_SECONDS
        if now > deadline or not stager.child.running:
            raise RuntimeError(f"{staged:,} of {events:,} events were staged:\n{stager.child.tail(40)}")
        await asyncio.sleep(POLL_SECONDS)


async def _baseline(servers: Servers, module: str, topic: str, events: int, **variables: str) -> float:
    async with servers.deployment(topic) as deployment:
        output = await run_python(
            f"bench.baselines.{module}",
            KAFKA=deployment.kafka,
            DATABASE_URL=deployment.database,
            TOPIC=topic,
            GROUP=f"group-{secrets.token_hex(4)}",
            EVENTS=str(events),
            **variables,
        )
    rate: float = msgspec.json.decode(output)["rate"]
    return rate


def _cpu(service: Service) -> float:
    times = psutil.Process(service.child.pid).cpu_times()
    return times.user + times.system
