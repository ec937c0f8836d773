"""A base backup of a PostgreSQL, and the server that it becomes."""

from urllib.parse import urlsplit, urlunsplit

import asyncpg

from tests.support.stack import HOST, until
from throughline.local import Child, LocalPostgres, free_port
from throughline.local.postgres import binaries
from throughline.local.server import ENVIRONMENT


class CopiedServer:
    """A copy of a running server in a folder beside it, on a port of its own."""

    def __init__(self, primary: LocalPostgres, name: str) -> None:
        self.port = free_port()
        self._primary = primary
        # Where the server's user may write.
        self.folder = primary.log.parent / f"{name}-{self.port}"
        self._server: Child | None = None

    async def copy(self, *options: str) -> None:
        """Take the base backup, while the server goes on."""
        copying = self.program(
            "pg_basebackup",
            f"--dbname={self._primary.url}",
            f"--pgdata={self.folder}",
            "--checkpoint=fast",
            *options,
        )
        await copying.start()
        assert await copying.wait() == 0, copying.tail(20)

    async def serve(self, **settings: str) -> None:
        """Start the server, and wait until it answers; it may recover still, and only be read."""
        options = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "max_connections": 200,
            "max_wal_senders": 10,
            "io_method": "sync",
            **settings,
        }
        words = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        self._server = self.program("postgres", "-D", str(self.folder), *words)
        await self._server.start()
        await until(self._answers, what=lambda: f"the copy:\n{self._server and self._server.tail(20)}")

    async def stop(self) -> None:
        if self._server is not None:
            await self._server.kill()

    def url_of(self, database: str) -> str:
        """The address of a copied database."""
        parts = urlsplit(database)
        return urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition('@')[0]}@{HOST}:{self.port}"))

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.url_of(self._primary.url))
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def program(self, program: str, *words: str) -> Child:
        """A program of PostgreSQL, as the server's user."""
        log = self._primary.log.with_name(f"{program}-{self.port}.log")
        return Child(
            program, [str(binaries() / program), *words], log=log, env=ENVIRONMENT, run_as=self._primary.run_as
        )

    async def _answers(self) -> bool:
        try:
            await self.execute("select 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True
