"""The whole system on one machine: what `throughline run` starts, in which order, and where it answers."""

import asyncio
import contextlib
import secrets
import sysconfig
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from throughline.kit.run_file import RUN_FILE, RunFile
from throughline.kit.settings import KafkaSecuritySettings
from throughline.local.errors import LocalError
from throughline.local.folder import DataFolder
from throughline.local.kafka import LocalKafka
from throughline.local.kafka_cluster import LocalKafkaCluster
from throughline.local.kafka_files import copies_on
from throughline.local.ports import free_port, require_free
from throughline.local.postgres import LocalPostgres
from throughline.local.process import Child
from throughline.local.provision import encryption_key, page_code, provision
from throughline.local.reports import Report
from throughline.local.service import Service
from throughline.local.supervisor import Supervisor
from throughline.store import migrate
from throughline.store.access.page_sessions import page_link
from throughline.store.roles import Role, url_in_role

LAYOUT = "1"
"""Version of the data folder's layout; a folder of a later one is refused."""
DATABASE_WAIT_S = 10.0
BROKER_WAIT_S = 10.0
EMBEDDED_KAFKA_SECURITY = dict.fromkeys((name.upper() for name in KafkaSecuritySettings.model_fields), "")
"""The embedded broker asks for nothing, whatever the environment says of another."""


@dataclass(frozen=True)
class RunOptions:
    """What to run. `kafka` and `database_url` None = embedded; ports 0 = any free one; `demo_rate` 0 = no demo,
    which begins with the history of `demo_customers`;
    no `encryption_keys` = the one of the data folder."""

    data: Path
    port: int = 8080
    ingest_port: int = 8081
    kafka: str | None = None
    brokers: int = 1
    database_url: str | None = None
    demo_rate: float = 0.0
    demo_customers: int = 0
    encryption_keys: tuple[str, ...] = ()


class Running:
    """The running system: its addresses and keys, a link that opens the page once, and `forever` to wait on."""

    def __init__(self, supervisor: Supervisor, folder: Path, addresses: RunFile, link: str) -> None:
        self.addresses = addresses
        self.link = link
        self.forever = supervisor.forever
        self._supervisor = supervisor
        self._folder = folder

    def write_run_file(self) -> None:
        """Write `run.json` with the present process ids."""
        replace(self.addresses, pids=self._supervisor.pids).write(self._folder)


class Stack:
    """Starts the system on the data folder of `options`, and stops it.

    `step` gets the progress of starting, `say` the news that a person should see whenever it comes; `base` is the
    environment that the services inherit.
    """

    def __init__(self, options: RunOptions, *, base: Mapping[str, str], step: Report, say: Report) -> None:
        self._options = options
        self._base = base
        self._step = step
        self._folder = DataFolder(options.data, "run", LAYOUT)
        self._running: Running | None = None
        self._cluster: LocalKafkaCluster | None = None
        self._supervisor = Supervisor(say, self._write_run_file)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """The system, ready; all of it is stopped when the block ends, the last started first.

        Raises:
            LocalError: a port is taken, the folder is locked or broken, or a part cannot start.
            MigrateError: the database cannot be brought to today's schema.
        """
        await self._folder.claim()
        run_file = self._folder.path / RUN_FILE
        try:
            run_file.unlink(missing_ok=True)
            yield await self._start()
        finally:
            self._running = None
            run_file.unlink(missing_ok=True)
            await self._supervisor.stop()
            if self._cluster is not None:
                await self._cluster.stop()
            self._folder.release()

    def kill(self) -> None:
        """Send SIGKILL to every child, for a person who does not want to wait for them."""
        self._supervisor.kill()

    async def _start(self) -> Running:
        options, data = self._options, self._folder.path
        port = _choose_port(options.port, "PORT")
        ingest_port = _choose_port(options.ingest_port, "INGEST_PORT")
        if port == ingest_port:
            raise LocalError(f"PORT and INGEST_PORT are both {port}; set one of them to another port")
        kafka, postgres = await self._start_servers()
        database_url = options.database_url or postgres.url
        # A database of one's own keeps its passwords: sessions of its user act in the roles.
        passwords = {} if options.database_url else {role: postgres.role_password(role) for role in Role}
        self._step("Postgres: bringing the schema up to date")
        await migrate.upgrade(database_url, passwords=passwords, wait_seconds=DATABASE_WAIT_S)
        keys = await provision(database_url, data)
        encryption_keys = options.encryption_keys or (encryption_key(data),)

        operator_secret = secrets.token_urlsafe()

        of_kafka = {} if options.kafka else _embedded_kafka_settings(options.brokers)

        def settings(role: Role, **others: str) -> dict[str, str]:
            url = url_in_role(database_url, role, passwords.get(role))
            return {"KAFKA": kafka, "DATABASE_URL": url, **of_kafka, **others}

        ingest = self._service(
            "ingest",
            ingest_port,
            settings(Role.INGEST, OPERATOR_SECRET=operator_secret, ENCRYPTION_KEYS=",".join(encryption_keys)),
        )
        stager = self._service("stager", free_port(), settings(Role.STAGER))
        api = self._service("api", port, settings(Role.API, INGEST_URL=ingest.url))
        self._step("starting ingest, stager and api")
        await self._supervisor.start(ingest, stager, api)
        await asyncio.gather(*(service.until_ready() for service in (ingest, stager, api)))

        addresses = RunFile(
            ingest_url=ingest.url,
            api_url=api.url,
            kafka=kafka,
            database_url=database_url,
            workspace=keys.workspace,
            write_key=keys.write_key,
            read_token=keys.read_token,
            operator_secret=operator_secret,
            encryption_keys=encryption_keys,
        )
        code = await page_code(database_url, keys)
        link = page_link(api.url.replace("127.0.0.1", "localhost"), code)
        self._running = Running(self._supervisor, data, addresses, link)
        if options.demo_rate:
            # The demo reads the write key from run.json, which is there long before it looks: a key does not belong on
            # a command line, where every user of the machine can see it.
            await self._supervisor.start(self._demo(options.demo_rate, options.demo_customers))
        self._write_run_file()
        return self._running

    async def _start_servers(self) -> tuple[str, LocalPostgres]:
        """Start the servers that are embedded; returns the address of Kafka, and the embedded PostgreSQL."""
        options, data = self._options, self._folder.path
        postgres = LocalPostgres(data / "postgres", report=self._step)
        brokers: list[LocalKafka] = []
        if options.kafka is not None:
            await _require_broker(options.kafka)
        elif options.brokers == 1:
            brokers = [LocalKafka(data / "kafka", report=self._step)]
        else:
            self._cluster = LocalKafkaCluster(data / "kafka", brokers=options.brokers, report=self._step)
            await self._cluster.prepare()
            brokers = self._cluster.brokers
        databases = [postgres] if options.database_url is None else []
        await self._supervisor.start(*brokers, *databases)
        return options.kafka or ",".join(broker.bootstrap for broker in brokers), postgres

    def _service(self, name: str, port: int, settings: Mapping[str, str]) -> Service:
        return Service(name, port=port, log=self._log(name), base=self._base, settings=settings)

    def _demo(self, rate: float, customers: int) -> Child:
        command = Path(sysconfig.get_path("scripts")) / "throughline"
        arguments = ["demo", "--rate", f"{rate:g}", "--history", str(customers), "--data", str(self._folder.path)]
        return Child("demo", [str(command), *arguments], log=self._log("demo"), env=self._base)

    def _log(self, name: str) -> Path:
        return self._folder.path / "logs" / f"{name}.log"

    def _write_run_file(self) -> None:
        if self._running is not None:
            self._running.write_run_file()


def _embedded_kafka_settings(brokers: int) -> dict[str, str]:
    if brokers == 1:
        return EMBEDDED_KAFKA_SECURITY
    copies = copies_on(brokers)
    return {
        **EMBEDDED_KAFKA_SECURITY,
        "REPLICATION_FACTOR": str(copies.replicas),
        "MIN_INSYNC_REPLICAS": str(copies.in_sync),
    }


def _choose_port(port: int, variable: str) -> int:
    if port == 0:
        return free_port()
    require_free(port, variable)
    return port


async def _require_broker(bootstrap: str) -> None:
    """Check that Kafka is there.

    Raises:
        LocalError: none of the addresses takes connections.
    """
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError, TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), BROKER_WAIT_S)
            writer.close()
            return
    raise LocalError(f"no Kafka answers at {bootstrap}; start it, or unset KAFKA to use the embedded one")
