"""The whole system on one machine: what `throughline run` starts, in which order, and what it tells about it."""

import asyncio
import contextlib
import json
import sysconfig
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from throughline.local.errors import LocalError
from throughline.local.folder import DataFolder, write_private
from throughline.local.jars import Report
from throughline.local.kafka import LocalKafka
from throughline.local.ports import free_port, require_free
from throughline.local.postgres import LocalPostgres
from throughline.local.process import Child
from throughline.local.provision import LocalKeys, provision
from throughline.local.service import Service
from throughline.local.supervisor import Supervised, Supervisor
from throughline.store import migrate

RUN_FILE = "run.json"
LAYOUT = "1"
"""Of the data folder; a later one is refused."""
DATABASE_WAIT_S = 10.0
BROKER_WAIT_S = 10.0


@dataclass(frozen=True)
class Wanted:
    """What to run. `kafka` and `database_url` None = embedded; ports 0 = any free one; `demo_rate` 0 = no demo."""

    data: Path
    port: int = 8080
    ingest_port: int = 8081
    kafka: str | None = None
    database_url: str | None = None
    demo_rate: float = 0.0


class Running:
    """The running system: its addresses, its keys, and `forever` to wait on."""

    def __init__(
        self,
        supervisor: Supervisor,
        folder: Path,
        *,
        keys: LocalKeys,
        ingest_url: str,
        api_url: str,
        kafka: str,
        database_url: str,
    ) -> None:
        self.keys = keys
        self.ingest_url = ingest_url
        self.api_url = api_url
        self.kafka = kafka
        self.database_url = database_url
        self.forever = supervisor.forever
        self._supervisor = supervisor
        self._file = folder / RUN_FILE

    def write(self) -> None:
        """Write `run.json`, whole or not at all, readable by its owner only."""
        content = {
            "ingest_url": self.ingest_url,
            "api_url": self.api_url,
            "kafka": self.kafka,
            "database_url": self.database_url,
            **self.keys._asdict(),
            "pids": self._supervisor.pids,
        }
        write_private(self._file, json.dumps(content, indent=2) + "\n")


class Stack:
    """Starts the system on `wanted.data` and stops it.

    `step` gets the progress of starting; `say` what a person should see whenever it happens; `base` is the environment
    that the services inherit.
    """

    def __init__(self, wanted: Wanted, *, base: Mapping[str, str], step: Report, say: Report) -> None:
        self._wanted = wanted
        self._base = base
        self._step = step
        self._folder = DataFolder(wanted.data, "run", LAYOUT)
        self._running: Running | None = None
        self._supervisor = Supervisor(say, self._write)

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
            self._folder.release()

    def kill(self) -> None:
        """SIGKILL to every child, for a person who does not want to wait for them."""
        self._supervisor.kill()

    async def _start(self) -> Running:
        wanted, data = self._wanted, self._folder.path
        port = _port(wanted.port, "PORT")
        ingest_port = _port(wanted.ingest_port, "INGEST_PORT")
        if port == ingest_port:
            raise LocalError(f"PORT and INGEST_PORT are both {port}; set one of them to another port")
        kafka, database_url = await self._servers()
        self._step("Postgres: bringing the schema up to date")
        await migrate.upgrade(database_url, wait_seconds=DATABASE_WAIT_S)
        keys = await provision(database_url, data)

        shared = {"KAFKA": kafka, "DATABASE_URL": database_url}
        ingest = self._service("ingest", ingest_port, shared)
        stager = self._service("stager", free_port(), shared)
        api = self._service("api", port, shared | {"PAGE_TOKEN": keys.read_token})
        self._step("starting ingest, stager and api")
        await self._supervisor.start(ingest, stager, api)
        await asyncio.gather(*(service.until_ready() for service in (ingest, stager, api)))

        self._running = Running(
            self._supervisor,
            data,
            keys=keys,
            ingest_url=ingest.url,
            api_url=api.url,
            kafka=kafka,
            database_url=database_url,
        )
        if wanted.demo_rate:
            # It reads the write key from run.json, which is there long before it looks: a key does not belong on a
            # command line, where every user of the machine can see it.
            await self._supervisor.start(self._demo(wanted.demo_rate))
        self._write()
        return self._running

    async def _servers(self) -> tuple[str, str]:
        """Start what is embedded; the addresses of both."""
        wanted, data = self._wanted, self._folder.path
        postgres = LocalPostgres(data / "postgres", report=self._step)
        kafka = LocalKafka(data / "kafka", report=self._step)
        embedded: list[Supervised] = []
        if wanted.kafka is None:
            embedded.append(kafka)
        else:
            await _require_broker(wanted.kafka)
        if wanted.database_url is None:
            embedded.append(postgres)
        await self._supervisor.start(*embedded)
        return wanted.kafka or kafka.bootstrap, wanted.database_url or postgres.url

    def _service(self, name: str, port: int, settings: Mapping[str, str]) -> Service:
        return Service(name, port=port, log=self._log(name), base=self._base, settings=settings)

    def _demo(self, rate: float) -> Child:
        command = Path(sysconfig.get_path("scripts")) / "throughline"
        arguments = ["demo", "--rate", f"{rate:g}", "--data", str(self._folder.path)]
        return Child("demo", [str(command), *arguments], log=self._log("demo"), env=self._base)

    def _log(self, name: str) -> Path:
        return self._folder.path / "logs" / f"{name}.log"

    def _write(self) -> None:
        if self._running is not None:
            self._running.write()


def _port(wanted: int, variable: str) -> int:
    if wanted == 0:
        return free_port()
    require_free(wanted, variable)
    return wanted


async def _require_broker(bootstrap: str) -> None:
    """Raises `LocalError` unless one of the addresses takes connections."""
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        with contextlib.suppress(OSError, TimeoutError):
            _, writer = await asyncio.wait_for(asyncio.open_connection(host, int(port)), BROKER_WAIT_S)
            writer.close()
            return
    raise LocalError(f"no Kafka answers at {bootstrap}; start it, or unset KAFKA to use the embedded one")
