"""What the figures are measured on: one Kafka and one PostgreSQL in a temporary folder, and processes on free ports."""

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import asyncpg
import msgspec
from aiokafka.admin import AIOKafkaAdminClient

from bench.load import Result, Spec
from tests.support.stack import HOST, Service, Stack
from throughline.kit.kafka import ensure_topics
from throughline.local import Child, LocalKafka, LocalPostgres, free_port

ROOT = Path(__file__).parent.parent
PARTITIONS = 4


class Checkout(NamedTuple):
    """A working copy of the project, whose services run under the Python of its own `.venv`."""

    folder: Path
    python: str
    label: str
    """Its commit, for the table."""

    @property
    def template(self) -> str:
        """Name of the database with the tables of this checkout's migrations."""
        return f"template_{self.label}".replace("-", "_")


OURS = Checkout(ROOT, sys.executable, "ours")


def checkout_of(folder: Path) -> Checkout:
    """The checkout in a folder.

    Raises:
        FileNotFoundError: it has no `.venv`; `make .venv/.dev` there makes one.
    """
    python = folder.resolve() / ".venv" / "bin" / "python"
    if not python.exists():
        raise FileNotFoundError(f"{python} is missing: run `make .venv/.dev` in {folder}")
    commit = subprocess.run(
        ["git", "-C", str(folder), "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True
    )
    return Checkout(folder.resolve(), str(python), commit.stdout.strip())


class Sizes(NamedTuple):
    """How long the figures measure, and how much they send."""

    rounds: int = 3
    warm_seconds: float = 1.5
    seconds: float = 4.0
    perf_records: int = 1_000_000
    staged_events: int = 150_000
    per_event_events: int = 1_500
    latency_seconds: float = 6.0
    cost_seconds: float = 10.0
    customers: int = 1_000_000
    warm_customers: int = 50_000
    warm_events: int = 250_000
    counts_requests: int = 15
    parse_turns: int = 9
    parse_seconds: float = 0.15
    histories: tuple[int, ...] = (100, 10_000, 1_000_000)
    imported_rows: int = 100_000
    posted_rows: int = 2_000


QUICK = Sizes(
    rounds=1,
    warm_seconds=0.5,
    seconds=1.0,
    perf_records=100_000,
    staged_events=20_000,
    per_event_events=300,
    latency_seconds=2.0,
    cost_seconds=2.0,
    customers=50_000,
    warm_customers=10_000,
    warm_events=30_000,
    counts_requests=5,
    parse_turns=2,
    parse_seconds=0.05,
    histories=(100, 2_000),
    imported_rows=5_000,
    posted_rows=200,
)


@dataclass
class Deployment(Stack):
    """One database, one pair of topics, and the services of one checkout that work on them."""

    checkout: Checkout = OURS

    async def run(self, name: str, *, profile: Path | None = None, ready: bool = True, **variables: str) -> Service:
        """Start a service and wait until it is ready; with `profile`, under the profiler, which writes there."""
        module = [f"services.{name}"]
        port = free_port()
        environment = {
            "KAFKA": self.kafka,
            "DATABASE_URL": self.database,
            "TOUCHPOINTS_TOPIC": self.touchpoints,
            "REJECTED_TOPIC": self.rejected,
            "CONSUMER_GROUP": f"group-{self.database.rpartition('/')[2]}",
            "HOST": HOST,
            "PORT": str(port),
            "LOG_LEVEL": "warning",
            "RATE_LIMIT_EVENTS": "0",  # of ingest: its one source sends all that it can
            **variables,
        }
        arguments = ["-m", *module] if profile is None else ["-m", "bench.profiled", str(profile), *module]
        service = await launch(
            name, arguments, environment, self.folder, port=port, ready=ready, checkout=self.checkout
        )
        self.services.append(service)
        return service


class Servers:
    """One Kafka and one PostgreSQL, which give fresh topics and databases."""

    def __init__(self, folder: Path, kafka: LocalKafka, postgres: LocalPostgres) -> None:
        self.folder = folder
        self.kafka = kafka
        self.postgres = postgres
        self._templates: set[str] = set()

    async def database(self, checkout: Checkout = OURS) -> str:
        """The URL of a fresh database with the tables of a checkout."""
        await self._require_template(checkout)
        name = f"bench_{secrets.token_hex(4)}"
        await execute(self.postgres.url, f"create database {name} template {checkout.template}")
        return self.postgres.url_of(name)

    async def _require_template(self, checkout: Checkout) -> None:
        if checkout.template not in self._templates:
            await execute(self.postgres.url, f"create database {checkout.template}")
            url = self.postgres.url_of(checkout.template)
            command = Path(checkout.python).with_name("throughline")
            await run_command(str(command), "migrate", cwd=checkout.folder, environment={"DATABASE_URL": url})
            self._templates.add(checkout.template)

    @contextlib.asynccontextmanager
    async def topic(self) -> AsyncIterator[str]:
        """A fresh topic of four partitions, and `NAME.rejected`; deleted afterwards."""
        name = f"touchpoints-{secrets.token_hex(4)}"
        names = [name, f"{name}.rejected"]
        await ensure_topics(self.kafka.bootstrap, dict.fromkeys(names, PARTITIONS))
        yield name
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        await admin.start()
        try:
            await admin.delete_topics(names)
        finally:
            await admin.close()

    @contextlib.asynccontextmanager
    async def deployment(self, topic: str, checkout: Checkout = OURS) -> AsyncIterator[Deployment]:
        """A fresh, provisioned database on a topic; its services are stopped and it is dropped afterwards."""
        database = await self.database(checkout)
        deployment = Deployment(
            self.kafka.bootstrap, database, topic, f"{topic}.rejected", self.folder, checkout=checkout
        )
        try:
            # Tokens have columns that the tables of an older checkout may lack; what is compared reads nothing.
            await deployment.provision(with_read_token=checkout is OURS)
            deployment.model = await fetch_value(
                database, "select id from models where workspace = $1", deployment.workspace_id
            )
            yield deployment
        finally:
            await deployment.stop()
            await execute(self.postgres.url, f"drop database {database.rpartition('/')[2]} with (force)")

    async def checkpoint(self) -> None:
        """Let PostgreSQL write out what it holds now rather than in the middle of the next measurement."""
        await execute(self.postgres.url, "checkpoint")


@contextlib.asynccontextmanager
async def start_servers() -> AsyncIterator[Servers]:
    """Start Kafka and PostgreSQL; stop them and remove their data at the end."""
    with tempfile.TemporaryDirectory(prefix="throughline-bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        async with (
            LocalKafka(folder / "kafka", report=print_progress) as kafka,
            LocalPostgres(folder / "postgres") as postgres,
        ):
            yield Servers(folder, kafka, postgres)


async def launch(
    name: str,
    arguments: list[str],
    environment: Mapping[str, str],
    folder: Path,
    *,
    port: int,
    ready: bool = True,
    checkout: Checkout = OURS,
) -> Service:
    """Start a Python process of a checkout that listens on `port`, and wait until its /readyz answers 200."""
    child = Child(
        name,
        [checkout.python, *arguments],
        log=folder / f"{name}-{secrets.token_hex(4)}.log",
        env={**_inherited(), **environment},
        cwd=checkout.folder,
    )
    await child.start()
    service = Service(name, f"http://{HOST}:{port}", child)
    try:
        if ready:
            await service.ready()
    except BaseException:
        await child.stop()
        raise
    return service


async def serve_baseline(servers: Servers, module: str, **environment: str) -> tuple[Service, int]:
    """Start an ASGI baseline as ingest is started: one uvicorn worker, httptools, uvloop, no access log."""
    port = free_port()
    options = ["--http", "httptools", "--loop", "uvloop", "--ws", "none", "--no-access-log", "--log-level", "warning"]
    target = [f"bench.baselines.{module}:app", "--host", HOST, "--port", str(port)]
    variables = {"KAFKA": servers.kafka.bootstrap, **environment}
    return await launch(module, ["-m", "uvicorn", *target, *options], variables, servers.folder, port=port), port


async def run_python(module: str, *arguments: str, **environment: str) -> bytes:
    """What a module of ours prints, run to its end.

    Raises:
        RuntimeError: it failed, with what it wrote to its standard error.
    """
    return await run_command(sys.executable, "-m", module, *arguments, environment=environment)


async def run_command(*command: str, cwd: Path = ROOT, environment: Mapping[str, str] | None = None) -> bytes:
    """What any program prints, run to its end.

    Raises:
        RuntimeError: it failed, with what it wrote to its standard error.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**_inherited(), **(environment or {})},
        cwd=cwd,
    )
    try:
        output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command[:4])} ended with {process.returncode}:\n{errors.decode()[-4000:]}")
    return output


async def send(spec: Spec) -> Result:
    """Run the load generator.

    Raises:
        RuntimeError: an answer was not a 200: such a run says nothing about speed.
    """
    output = await run_python("bench.load", msgspec.json.encode(spec).decode())
    result = msgspec.json.decode(output, type=Result)
    if result.failures or not result.requests:
        raise RuntimeError(f"{result.requests} requests were answered 200, and beside them: {result.failures}")
    return result


async def execute(url: str, statement: str) -> None:
    """Run one statement outside a transaction."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


async def fetch_value(url: str, statement: str, *arguments: object) -> int:
    """The one number that a statement returns."""
    connection = await asyncpg.connect(url)
    try:
        value: int = await connection.fetchval(statement, *arguments)
        return value
    finally:
        await connection.close()


def port_of(service: Service) -> int:
    """The port a service listens on."""
    return int(service.url.rpartition(":")[2])


def print_progress(line: str) -> None:
    """Print a line to standard error: the table alone is on standard output."""
    print(line, file=sys.stderr, flush=True)


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "M2_REPO", "TMPDIR")}
