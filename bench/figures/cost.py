"""What each process costs at a load, from nothing at all to more than a shop has: CPU time and commits.

One process each of ingest, stager and api. SDK batches of customers who come again are sent at a steady rate; the
kernel says how much CPU time each process took meanwhile (of PostgreSQL: all its processes), PostgreSQL how many
transactions ended, those that only read among them.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from bench.load import Spec
from bench.report import Goal, Row
from bench.servers import OURS, Checkout, Deployment, Servers, Sizes, port_of, print_progress, send
from tests.support.stack import Service

RATES = (0, 50, 500, 2_000, 8_000)
"""Events a second."""
EVENTS = 20
"""Events in a batch."""
CUSTOMERS = 20_000
CONNECTIONS = 8
WARM_SECONDS = 2.0
REST_SECONDS = 11.0
"""Time in which nothing more is staged, between two rates: an idle session of PostgreSQL says only then what it did."""
PROCESSES = ("ingest", "kafka", "stager", "postgres")
STATE = "stager + postgres"
COMMITS = "commits"
_PROGRESS = """
SELECT coalesce(sum(next_offset), 0)::bigint,
    (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = current_database())
FROM offsets WHERE topic = $1
"""
_GOALS = {
    (0, COMMITS): Goal("value", most=3),
    (0, "stager"): Goal("value", most=1),
    (500, COMMITS): Goal("value", most=12),
    (500, STATE): Goal("value", most=150),
    (2_000, STATE): Goal("value", most=80),
}


@dataclass
class Cost:
    """What was measured at one rate."""

    events: int
    """Events that were staged."""
    seconds: float
    commits: int
    cpu_seconds: Mapping[str, float]
    load: float
    """The machine's load average, over the last minute."""

    def of(self, name: str) -> float:
        """Microseconds of CPU time an event, without events the share of a core in per cent; commits a second."""
        if name == COMMITS:
            return self.commits / self.seconds
        seconds = self.cpu_seconds[name]
        return 1e6 * seconds / self.events if self.events else 100 * seconds / self.seconds


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Cost at each rate."""
    return _rows({OURS.label: await _costs(servers, sizes, OURS)}, None)


async def compare(servers: Servers, sizes: Sizes, other: Checkout) -> list[Row]:
    """Cost at each rate, of our services and of the other checkout's, one after the other."""
    costs = {checkout.label: await _costs(servers, sizes, checkout) for checkout in (OURS, other)}
    return _rows(costs, other)


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The stager at 500 events a second, profiled."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        services = await _start(deployment, profile=file)
        await _at(servers, deployment, services, 500, sizes.cost_seconds, first=0)


async def _costs(servers: Servers, sizes: Sizes, checkout: Checkout) -> dict[int, Cost]:
    costs: dict[int, Cost] = {}
    async with servers.topic() as topic, servers.deployment(topic, checkout) as deployment:
        services = await _start(deployment)
        await send(_spec(deployment, services["ingest"], first=0, requests=CUSTOMERS // EVENTS))
        first = CUSTOMERS // EVENTS
        for rate in RATES:
            await _rest(deployment)
            cost = costs[rate] = await _at(servers, deployment, services, rate, sizes.cost_seconds, first=first)
            first += 1_000_000
            each = ", ".join(f"{name} {cost.of(name):,.1f}" for name in cost.cpu_seconds)
            print_progress(
                f"cost ({checkout.label}): {cost.events / cost.seconds:,.0f} events/s, {each} {_unit(rate)}; "
                f"{cost.of(COMMITS):.1f} commits/s; load average {cost.load:.1f}"
            )
    return costs


async def _start(deployment: Deployment, *, profile: Path | None = None) -> dict[str, Service]:
    stager = await deployment.run("stager", profile=profile)
    return {"stager": stager, "ingest": await deployment.run("ingest"), "api": await deployment.run("api")}


async def _at(
    servers: Servers, deployment: Deployment, services: Mapping[str, Service], rate: int, seconds: float, *, first: int
) -> Cost:
    """Measure while `rate` events a second are sent."""
    pids = {
        "ingest": services["ingest"].child.pid,
        "kafka": servers.kafka.pid,
        "stager": services["stager"].child.pid,
        "postgres": servers.postgres.pid,
    }
    sending = None
    if rate:
        spec = _spec(deployment, services["ingest"], first=first, rate=rate / EVENTS, seconds=seconds + 1)
        sending = asyncio.create_task(send(spec))
        await asyncio.sleep(WARM_SECONDS)
    loop = asyncio.get_running_loop()
    began, (events, commits) = loop.time(), await _progress(deployment)
    used = {name: _cpu_seconds(pid) for name, pid in pids.items()}
    await asyncio.sleep(seconds)
    cpu_seconds = {name: _cpu_seconds(pid) - used[name] for name, pid in pids.items()}
    staged, ended = await _progress(deployment)
    cost = Cost(
        staged - events,
        loop.time() - began,
        ended - commits,
        cpu_seconds | {STATE: cpu_seconds["stager"] + cpu_seconds["postgres"]},
        os.getloadavg()[0],
    )
    if sending is not None:
        await sending
    return cost


def _spec(
    deployment: Deployment,
    ingest: Service,
    *,
    first: int,
    rate: float = 0.0,
    seconds: float = 0.0,
    requests: int = 0,
) -> Spec:
    return Spec(
        port=port_of(ingest),
        key=deployment.write_key,
        events=EVENTS,
        connections=CONNECTIONS,
        warm_seconds=1.0,
        seconds=seconds,
        requests=requests,
        rate=rate,
        customers=CUSTOMERS,
        first=first,
    )


async def _rest(deployment: Deployment) -> None:
    """Wait until nothing is left of what was sent."""
    before = -1
    while (staged := (await _progress(deployment))[0]) != before:
        before = staged
        await asyncio.sleep(REST_SECONDS)


async def _progress(deployment: Deployment) -> tuple[int, int]:
    """Returns how many events are staged, and how many transactions of the database have ended."""
    connection = await asyncpg.connect(deployment.database)
    try:
        row = await connection.fetchrow(_PROGRESS, deployment.touchpoints)
    finally:
        await connection.close()
    assert row is not None  # of sums
    return row[0], row[1]


def _cpu_seconds(pid: int) -> float:
    """CPU time of a process and all its descendants, those that have ended included."""
    process = psutil.Process(pid)
    own = process.cpu_times()
    seconds = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        seconds += times.user + times.system
    return seconds


def _unit(rate: int) -> str:
    return "us an event" if rate else "% of a core"


def _rows(costs: Mapping[str, Mapping[int, Cost]], other: Checkout | None) -> list[Row]:
    rows = []
    for rate in RATES:
        at = f"at {rate:,} events/s" if rate else "idle"
        of_rate = {label: by_rate[rate] for label, by_rate in costs.items()}
        note = "load average " + ", ".join(f"{cost.load:.1f} ({label})" for label, cost in of_rate.items())
        for what in (*PROCESSES, STATE, COMMITS):
            row = Row(
                name=f"{at}: {what}",
                unit="commits/s" if what == COMMITS else _unit(rate),
                rounds=[of_rate[OURS.label].of(what)],
                goal=_GOALS.get((rate, what)),
                note=note,
            )
            if other is not None:
                row.baseline, row.baseline_rounds = other.label, [of_rate[other.label].of(what)]
            rows.append(row)
            note = ""
    return rows
