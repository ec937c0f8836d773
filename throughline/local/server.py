"""What the embedded servers share: a folder that one instance uses at a time, a port, a child process, its start."""

import re
import shutil
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from throughline.local.errors import LocalError, PortInUseError
from throughline.local.folder import DataFolder
from throughline.local.ports import HOST, accepts, free_port
from throughline.local.process import Child, until_deadline
from throughline.local.reports import Report

LOCK_PATIENCE_SECONDS = 5
PORT_ATTEMPTS = 3
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}
"""The whole environment of a server: nothing of the user's changes what it does."""


class LocalServer(ABC):
    """A server on 127.0.0.1 whose data stays in a folder; also an async context manager.

    `port` 0 = any free one, chosen at the first `start` and kept by this object. Start it from the main thread.
    """

    name: str
    """For the supervisor and the data folder."""
    product: str
    """For error messages."""
    label: str
    """For news."""
    version: str
    start_seconds: float
    port_in_use: re.Pattern[str]
    """Found in the server's last lines when another process listens on its port."""

    def __init__(self, folder: Path, *, port: int, report: Report) -> None:
        self.port = port
        self._any_port = port == 0
        self._report = report
        self._folder = DataFolder(folder, self.name, self.version)
        self._data = self._folder.path / "data"
        self._child: Child | None = None

    @property
    def pid(self) -> int:
        """The process id of the last start, 0 before the first."""
        return self._child.pid if self._child else 0

    @property
    @abstractmethod
    def log(self) -> Path:
        """The server's own log."""

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Make the folder ready, start the server, and wait until it answers; after a kill it recovers first.

        Raises:
            LocalError: the folder is broken, locked or not writable, the port is taken, a file of the server is
                missing or refused, or the server fails.
        """
        await self._folder.claim(patience_s=LOCK_PATIENCE_SECONDS)
        try:
            await self._prepare()
            for attempt in range(1, PORT_ATTEMPTS + 1):
                try:
                    await self._serve()
                except PortInUseError:
                    if not self._any_port or attempt == PORT_ATTEMPTS:
                        raise
                    self.port = 0
                else:
                    break
        except OSError as error:
            await self.stop()
            raise LocalError(
                f"{self.product} cannot start in {self._folder.path}: {error.strerror}; see whether its disk is full"
            ) from None
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop the server in order, so that nothing acknowledged is lost, and let go of the folder."""
        if self._child is not None:
            await self._child.stop()
        self._folder.release()

    async def kill(self) -> None:
        """SIGKILL. `start` recovers from the same data, on the same port."""
        if self._child is not None:
            await self._child.kill()
        self._folder.release()

    async def wait(self) -> int:
        """Wait until the server ends; returns its exit status (-N = signal N)."""
        if self._child is None:
            raise RuntimeError(f"{self.name} was never started")
        return await self._child.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of the server's log."""
        return self._child.tail(lines) if self._child else ""

    @abstractmethod
    async def _prepare(self) -> None:
        """Find the programs; check the data in the folder, or create it."""

    @abstractmethod
    def _create_data_tool(self, fresh: Path) -> Child:
        """The program that creates new data in the folder `fresh`."""

    @abstractmethod
    def _create_server(self) -> Child:
        """The server on `port`, its settings written. The child inherits the lock of the folder."""

    @abstractmethod
    async def _answers(self) -> bool:
        """Whether the server on the port is this one and takes requests."""

    def _ports(self) -> str:
        """The ports that the server listens on, for messages."""
        return str(self.port)

    async def _create_data(self) -> None:
        """Create the data beside its final place, then move it: `data` is never half made."""
        self._report(f"{self.label}: preparing a new data folder")
        fresh = self._folder.path / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        tool = self._create_data_tool(fresh)
        await tool.start()
        try:
            status = await tool.wait()
        finally:
            await tool.kill()
        if status != 0:
            raise LocalError(f"{self.product} could not make {fresh} (exit status {status}):\n{tool.tail()}")
        fresh.rename(self._data)

    async def _serve(self) -> None:
        self.port = self.port or free_port()
        # Before the start, because another server on the port would answer this one's first client.
        if await accepts(self.port):
            raise PortInUseError(
                f"port {self.port} for {self.product} is in use by another process; stop it or choose another port"
            )
        self._child = self._create_server()
        self._report(f"{self.label}: starting {self.version} on {HOST}:{self.port}")
        await self._child.start()
        deadline = time.monotonic() + self.start_seconds
        while not await self._answers():
            if not self._child.running:
                await self._child.wait()
                output = self.tail()
                if self.port_in_use.search(output):
                    raise PortInUseError(f"port {self._ports()} for {self.product} is in use by another process")
                raise LocalError(f"{self.product} stopped while starting; the end of {self.log}:\n{output}")
            if not await until_deadline(deadline):
                raise LocalError(
                    f"{self.product} did not answer within {self.start_seconds:g} s; "
                    f"the end of {self.log}:\n{self.tail()}"
                )
