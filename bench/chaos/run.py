"""A run: the stack, customers and faults side by side, then the verdict."""

import asyncio
import contextlib
import os
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg

from bench.chaos.customers import Customers, Sent
from bench.chaos.disk import SmallDisk
from bench.chaos.faults import Fault, Surroundings, inflict
from bench.chaos.proxy import Line
from bench.chaos.skewed import write_step
from bench.servers import PARTITIONS, ROOT
from tests.reference.counts import Counts
from tests.support.shop import expect, projection_of, staged_through
from tests.support.stack import HOST, ROLE_PASSWORD, Service, Stack
from tests.support.topic import read_touchpoints
from throughline.local import Child, LocalKafka, LocalKafkaCluster, LocalPostgres, Supervisor, free_port
from throughline.local.kafka_files import Copies, copies_on
from throughline.local.supervisor import Supervised
from throughline.store import migrate
from throughline.store.roles import Role, url_in_role

STAGERS = 2
TOPIC = "touchpoints"
LONGEST_PAUSE_S = 2.0
LONGEST_GAP_S = 3.0
"""Between the beginnings of two faults, if neither has to wait for the other."""
AT_ONCE = 2
"""Maximum number of faults at one time, never two of one victim."""
POSTGRES_MB, KAFKA_MB = 1024, 1024
SETTLE_S = 300.0
SMALL_LOG = ("max_wal_size = '192MB'", "min_wal_size = '80MB'", "commit_siblings = 0")
"""PostgreSQL's, so that its log fits on a small disk, and that `commit_delay` delays each flush."""

Report = Callable[[str], None]


class Verdict:
    """What is wrong; nothing, if all is exact."""

    def __init__(self) -> None:
        self.faults: list[str] = []

    def require(self, is_so: bool, otherwise: str) -> None:
        """Note a fault unless something is so."""
        if not is_so:
            self.faults.append(otherwise)


@dataclass
class Outcome:
    """What was done, and what came of it."""

    inflicted: Counter[str]
    seconds: float
    events: int
    records: int
    """On the log: with those sent more than once."""
    statuses: Counter[int]
    longest_wait_s: float
    staged_after_s: float
    """From the last event to the state that has it."""
    verdict: Verdict


class Ground:
    """The whole stack, watched, in a folder."""

    def __init__(self, stack: Stack, surroundings: Surroundings, ingest: Service) -> None:
        self.stack = stack
        self.surroundings = surroundings
        self.ingest = ingest

    async def run(self, faults: list[Fault], customers: Customers, *, report: Report) -> Outcome:
        """Inflict the faults while the customers send; then let all settle, and compare."""
        began = time.monotonic()
        customers.start()
        dice = random.Random(len(faults))
        busy: dict[str, asyncio.Task[None]] = {}
        for number, fault in enumerate(faults, 1):
            while len(busy) >= AT_ONCE or fault.victim in busy:
                await asyncio.wait(busy.values(), return_when=asyncio.FIRST_COMPLETED)
                busy = {victim: task for victim, task in busy.items() if not _has_ended(task)}
            report(f"{number:4}  {time.monotonic() - began:6.1f} s  {fault}")
            busy[fault.victim] = asyncio.create_task(inflict(fault, self.surroundings))
            await asyncio.sleep(dice.uniform(0.3, LONGEST_GAP_S))
        await asyncio.gather(*busy.values())
        report(f"      {time.monotonic() - began:6.1f} s  no more faults; waiting for every 200")
        async with asyncio.timeout(SETTLE_S):
            await customers.stop()
            for service in self.stack.services:
                await service.ready(seconds=SETTLE_S)
        ended = time.monotonic()
        report(f"      {ended - began:6.1f} s  every event is acknowledged; waiting until all are staged")
        await staged_through(self.stack, seconds=SETTLE_S)
        staged_after_s = time.monotonic() - ended
        report(f"      {time.monotonic() - began:6.1f} s  all are staged; comparing")
        verdict, records = await self._compare(customers.acknowledged)
        return Outcome(
            Counter(fault.kind for fault in faults),
            ended - began,
            len(customers.acknowledged),
            records,
            customers.statuses,
            customers.longest_wait_s,
            staged_after_s,
            verdict,
        )

    async def _compare(self, acknowledged: dict[str, Sent]) -> tuple[Verdict, int]:
        """The state against a naive replay of what was answered 200, and that against what was sent."""
        verdict = Verdict()
        log = await read_touchpoints(self.stack.kafka, self.stack.touchpoints, PARTITIONS)
        of_log = {touchpoint.message_id: Sent(touchpoint.actor, touchpoint.name) for touchpoint in log}
        lost = acknowledged.keys() - of_log.keys()
        verdict.require(not lost, f"{len(lost)} acknowledged events are not on the log: {sorted(lost)[:5]}")
        strange = of_log.keys() - acknowledged.keys()
        verdict.require(not strange, f"{len(strange)} events on the log were never sent: {sorted(strange)[:5]}")
        changed = [key for key, sent in acknowledged.items() if of_log.get(key, sent) != sent]
        verdict.require(not changed, f"{len(changed)} events are others on the log: {changed[:5]}")
        connection = await asyncpg.connect(self.stack.database)
        try:
            facts = await connection.fetchval("SELECT count(*) FROM touchpoints")
            rejected = await connection.fetchval("SELECT coalesce(sum(events), 0) FROM rejected_counts")
        finally:
            await connection.close()
        verdict.require(facts == len(of_log), f"{facts} touchpoints are stored, not {len(of_log)}")
        verdict.require(rejected == 0, f"{rejected} events were rejected")
        try:
            await expect(self.stack, log)
        except AssertionError as error:
            verdict.require(False, f"the state is not that of a naive replay: {str(error)[:2_000]}")
        state = await projection_of(self.stack)
        customers, sums = len(state.customers), Counts(*map(sum, zip(*state.counts.values(), strict=True)))
        verdict.require(
            sums.active + sums.lapsed == customers, f"{sums.active + sums.lapsed} are counted, of {customers} customers"
        )
        uneven = [
            cell
            for cell, counts in state.counts.items()
            if cell[2] and counts.entered != counts.active + counts.lapsed + counts.left
        ]
        verdict.require(not uneven, f"entered is not now + left in {len(uneven)} phases: {uneven[:5]}")
        return verdict, len(log)


def _has_ended(task: asyncio.Task[None]) -> bool:
    if task.done():
        task.result()
    return task.done()


@contextlib.asynccontextmanager
async def servers(
    folder: Path, brokers: int, disks: dict[str, SmallDisk], supervisor: Supervisor
) -> AsyncIterator[tuple[list[LocalKafka], LocalPostgres]]:
    """Kafka and PostgreSQL, watched, PostgreSQL with a log that fits on a small disk."""
    postgres = LocalPostgres(folder / "postgres")
    cluster = LocalKafkaCluster(folder / "kafka", brokers=brokers) if brokers > 1 else None
    if cluster is not None:
        await cluster.prepare()
    kafka = cluster.brokers if cluster is not None else [LocalKafka(folder / "kafka")]
    try:
        await supervisor.start(postgres, *kafka)
        connection = await asyncpg.connect(postgres.url)
        try:
            for setting in SMALL_LOG:
                await connection.execute(f"ALTER SYSTEM SET {setting}")
            await connection.execute("SELECT pg_reload_conf()")
        finally:
            await connection.close()
        yield kafka, postgres
    finally:
        for disk in disks.values():
            disk.free()
        await supervisor.stop()
        if cluster is not None:
            await cluster.stop()


@contextlib.asynccontextmanager
async def ground(folder: Path, *, brokers: int, with_disks: bool, report: Report) -> AsyncIterator[Ground]:
    """The stack: Kafka, PostgreSQL, ingest and two stagers that reach PostgreSQL over lines of their own."""
    supervisor = Supervisor(
        lambda news: report(f"                {news.splitlines()[0]}"), longest_pause_s=LONGEST_PAUSE_S
    )
    disks: dict[str, SmallDisk] = {}
    if with_disks:
        disks["postgres"] = SmallDisk(folder / "postgres", POSTGRES_MB)
        if brokers == 1:
            disks["kafka"] = SmallDisk(folder / "kafka", KAFKA_MB)
    async with servers(folder, brokers, disks, supervisor) as (kafka, postgres), contextlib.AsyncExitStack() as lines:
        await migrate.upgrade(postgres.url, passwords=dict.fromkeys(Role, ROLE_PASSWORD))
        bootstrap = ",".join(broker.bootstrap for broker in kafka)
        stack = Stack(bootstrap, postgres.url, TOPIC, f"{TOPIC}.rejected", folder)
        await stack.provision()
        ground = await services(stack, postgres.port, copies_on(brokers), supervisor, lines)
        surroundings = ground.surroundings
        surroundings.processes |= {"postgres": postgres, **{broker.name: broker for broker in kafka}}
        surroundings.disks |= disks
        surroundings.database_url = postgres.url
        yield ground


async def services(
    stack: Stack, database_port: int, copies: Copies, supervisor: Supervisor, lines: contextlib.AsyncExitStack
) -> Ground:
    """Start ingest and the stagers on a stack, and wait until they are ready."""
    surroundings = Surroundings({}, {}, {})
    watched: list[Supervised] = []

    def add(name: str, command: list[str], database: str) -> Service:
        port = free_port()
        environment = {
            **{key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG")},
            "KAFKA": stack.kafka,
            "DATABASE_URL": database,
            "TOUCHPOINTS_TOPIC": stack.touchpoints,
            "REJECTED_TOPIC": stack.rejected,
            "CONSUMER_GROUP": f"group-{stack.touchpoints}",
            "REPLICATION_FACTOR": str(copies.replicas),
            "MIN_INSYNC_REPLICAS": str(copies.in_sync),
            "HOST": HOST,
            "PORT": str(port),
        }
        command = [sys.executable, "-m", *command]
        child = Child(name, command, log=stack.folder / f"{name}.log", env=environment, cwd=ROOT, grace_s=40)
        service = Service(name, f"http://{HOST}:{port}", child)
        stack.services.append(service)
        watched.append(child)
        surroundings.processes[name] = child
        return service

    ingest = add("ingest", ["services.ingest"], url_in_role(stack.database, Role.INGEST, ROLE_PASSWORD))
    for number in range(1, STAGERS + 1):
        name = f"stager-{number}"
        line = await lines.enter_async_context(Line(database_port))
        clock = stack.folder / f"{name}.clock"
        write_step(clock, 0)
        surroundings.lines[f"line of {name}"] = line
        surroundings.clocks[f"clock of {name}"] = clock
        url = url_in_role(stack.database, Role.STAGER, ROLE_PASSWORD)
        add(
            name,
            ["bench.chaos.skewed", str(clock)],
            url.replace(f":{database_port}/", f":{line.port}/"),
        )
    await supervisor.start(*watched)
    for service in stack.services:
        await service.ready()
    return Ground(stack, surroundings, ingest)
