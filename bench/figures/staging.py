"""The stager: events a second of one process, the whole journey exactly once, beside plainer consumers.

One topic is filled once; each round stages it from its beginning into a fresh database, in a consumer group of its own.
Timed from the moment the process has its partitions to its last commit. Nobody sends meanwhile.
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

from bench.bed import Bed, Scale, Site, run_python, say
from bench.events import log_of, touchpoint
from bench.report import Goal, Row
from bench.waits import sampled, table
from tests.support.stack import Service
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.wire.codec import encode, partition_of

POLL_SECONDS = 0.02
PATIENCE_SECONDS = 120.0
SPAN_US = 3 * 86_400 * 1_000_000
_STAGED = "SELECT coalesce(sum(next_offset), 0)::bigint FROM offsets WHERE topic = $1"
_TOUCHPOINTS = "SELECT count(*) FROM touchpoints"
_COUNTED = "SELECT sum(active + lapsed)::bigint FROM phase_counts"


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """Events a second of ours and of each baseline, taking turns."""
    events = scale.staged_events
    rates: dict[str, list[float]] = {"stager": [], "latest": [], "facts": [], "per_event": []}
    shares: list[str] = []
    async with bed.topic() as topic:
        customers = await fill(bed, topic, in_order(events))
        say(f"staging: {events:,} events of {customers:,} customers on the topic")
        for _ in range(scale.rounds):
            rate, share = await stage(bed, topic, events, customers)
            rates["stager"].append(rate)
            shares.append(share)
            await bed.settle()
            for write in ("latest", "facts"):
                rates[write].append(await _baseline(bed, "plain_loop", topic, events, WRITE=write))
                await bed.settle()
            rates["per_event"].append(await _baseline(bed, "per_event", topic, scale.per_event_events))
            await bed.settle()
            say("staging: " + ", ".join(f"{name} {values[-1]:,.0f} events/s" for name, values in rates.items()))
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


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """The stager on the same topic: first its sessions in PostgreSQL sampled, then itself under the profiler."""
    async with bed.topic() as topic:
        customers = await fill(bed, topic, in_order(scale.staged_events))
        rate, share = await stage(bed, topic, scale.staged_events, customers, watch=True)
        say(f"staging: {rate:,.0f} events/s with its sessions sampled; {share}")
        rate, share = await stage(bed, topic, scale.staged_events, customers, profile=file)
        say(f"staging: {rate:,.0f} events/s under the profiler; {share}")


def in_order(events: int) -> list[Touchpoint]:
    """A shop's log of so many events, in order per customer."""
    # Workspace and source are the first ones of a fresh database.
    start_us = now_us() - SPAN_US
    return [touchpoint(act, workspace=1, source=1, start_us=start_us) for act in log_of(events)]


async def fill(bed: Bed, topic: str, log: Sequence[Touchpoint]) -> int:
    """Put a log on the topic; how many users it has."""
    producer = AIOKafkaProducer(bootstrap_servers=bed.kafka.bootstrap, acks="all", max_batch_size=1024 * 1024)
    await producer.start()
    try:
        partitions = len(await producer.partitions_for(topic))
        batches = [producer.create_batch() for _ in range(partitions)]

        async def flush(partition: int) -> None:
            batches[partition].close()
            await (await producer.send_batch(batches[partition], topic, partition=partition))
            batches[partition] = producer.create_batch()

        for one in log:
            key, value, milliseconds = one.actor.encode(), encode(one), one.received_us // 1000
            partition = partition_of(key, partitions)
            if batches[partition].append(key=key, value=value, timestamp=milliseconds) is None:
                await flush(partition)
                batches[partition].append(key=key, value=value, timestamp=milliseconds)
        for partition in range(partitions):
            await flush(partition)
    finally:
        await producer.stop()
    return len({one.user_id for one in log} - {""})


async def stage(
    bed: Bed,
    topic: str,
    events: int,
    customers: int,
    *,
    profile: Path | None = None,
    watch: bool = False,
    then: Callable[[Site], Awaitable[float]] | None = None,
) -> tuple[float, str]:
    """(events a second, who used how much of a core) of one stager process, checked to be all there.

    `then` does something else with what is staged while the stager runs; its seconds are those that count.
    """
    async with bed.site(topic) as site:
        assert site.workspace_id == 1
        connection = await asyncpg.connect(site.database)
        try:
            stager = await site.run("stager", profile=profile, ready=False)
            began = await _until_joined(stager)
            used = _cpu(stager)
            async with sampled(site.database) if watch else contextlib.nullcontext() as waits:
                seconds = await until_staged(connection, stager, topic, events) - began
            if waits:
                print(table(waits))
            used = _cpu(stager) - used
            found = await connection.fetchval(_TOUCHPOINTS), await connection.fetchval(_COUNTED)
            if found != (events, customers):
                raise RuntimeError(f"staged {found} touchpoints and customers, expected {(events, customers)}")
            if then is not None:
                seconds = await then(site)
        finally:
            await connection.close()
    return events / seconds, f"the stager used {used / seconds:.2f} of a core"


async def _until_joined(stager: Service) -> float:
    """Wait until the stager has its partitions; the last instant at which it was seen without them."""
    before = time.perf_counter()
    async with httpx.AsyncClient(timeout=5) as client:
        while True:
            asked = time.perf_counter()
            with contextlib.suppress(httpx.TransportError):
                if (await client.get(f"{stager.url}/readyz")).status_code == 200:
                    return before
            before = asked
            if not stager.child.running:
                raise RuntimeError(f"the stager has ended:\n{stager.child.tail(40)}")
            await asyncio.sleep(POLL_SECONDS)


async def until_staged(
    connection: "asyncpg.Connection[asyncpg.Record]", stager: Service, topic: str, events: int
) -> float:
    """Wait until this many events of the topic are staged; when they were (`time.perf_counter`).

    Raises:
        RuntimeError: the stager ended, or nothing was staged for a long time.
    """
    best, deadline = -1, 0.0
    while True:
        staged = await connection.fetchval(_STAGED, topic)
        now = time.perf_counter()
        if staged >= events:
            return now
        if staged > best:
            best, deadline = staged, now + PATIENCE_SECONDS
        if now > deadline or not stager.child.running:
            raise RuntimeError(f"{staged:,} of {events:,} events were staged:\n{stager.child.tail(40)}")
        await asyncio.sleep(POLL_SECONDS)


async def _baseline(bed: Bed, module: str, topic: str, events: int, **variables: str) -> float:
    async with bed.site(topic) as site:
        output = await run_python(
            f"bench.baselines.{module}",
            KAFKA=site.kafka,
            DATABASE_URL=site.database,
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
