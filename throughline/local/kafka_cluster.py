"""Several brokers on this machine as one Kafka cluster, to try what production has: a broker may be lost."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Self

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from throughline.kit.kafka import create_admin
from throughline.local.errors import BrokenFolderError, LocalError
from throughline.local.folder import DataFolder
from throughline.local.kafka import CLUSTER_ID, LocalKafka, Member, new_cluster_id
from throughline.local.kafka_files import Copies, copies_on
from throughline.local.ports import free_port
from throughline.local.process import until_deadline
from throughline.local.reports import Report, silent

KIND = "kafka cluster"
BROKERS = "brokers"


class LocalKafkaCluster:
    """Brokers 1, 2, 3 in folders of these names within `folder`; also an async context manager.

    `prepare` it, then start its `brokers`, together: each waits for a majority.
    """

    def __init__(self, folder: Path, *, brokers: int = 3, report: Report = silent, heap_mb: int = 128) -> None:
        self._folder = DataFolder(folder, KIND, LocalKafka.version)
        self._count = brokers
        self._report = report
        self._heap_mb = heap_mb
        self.brokers: list[LocalKafka] = []

    @property
    def bootstrap(self) -> str:
        """The addresses of all brokers, once they have started."""
        return ",".join(broker.bootstrap for broker in self.brokers)

    @property
    def copies(self) -> Copies:
        """What topics on this cluster should have."""
        return copies_on(self._count)

    async def __aenter__(self) -> Self:
        try:
            await self.prepare()
            await asyncio.gather(*(broker.start() for broker in self.brokers))
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def prepare(self) -> None:
        """Claim the folder, and make `brokers`, which are not started yet.

        Raises:
            LocalError: the folder is broken, locked or not writable, or has another number of brokers.
        """
        await self._folder.claim()
        settings = self._folder.settings
        if CLUSTER_ID not in settings:
            self._folder.remember(**{CLUSTER_ID: new_cluster_id(), BROKERS: str(self._count)})
        if settings[BROKERS] != str(self._count):
            self._folder.release()
            raise BrokenFolderError(
                f"{self._folder.path} has {settings[BROKERS]} brokers, not {self._count}; "
                f"start with BROKERS={settings[BROKERS]}, or choose another folder"
            )
        ports = tuple(free_port() for _ in range(self._count))
        self.brokers = [
            LocalKafka(
                self._folder.path / str(node),
                member=Member(node, settings[CLUSTER_ID], ports),
                report=self._report,
                heap_mb=self._heap_mb,
            )
            for node in range(1, self._count + 1)
        ]

    async def until_in_sync(self, *, seconds: float = 60.0) -> None:
        """Wait until each replica of each partition is in sync: only then may the next broker stop.

        Raises:
            LocalError: it takes longer than `seconds`.
        """
        admin = create_admin(self.bootstrap)
        try:
            await admin.start()
            deadline = time.monotonic() + seconds
            while await _is_behind(admin):
                if not await until_deadline(deadline):
                    raise LocalError(f"Kafka's replicas are not in sync after {seconds:g} s")
        finally:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await admin.close()

    async def stop(self) -> None:
        """Stop all brokers at once, and let go of the folder."""
        await asyncio.gather(*(broker.stop() for broker in self.brokers))
        self._folder.release()


async def _is_behind(admin: AIOKafkaAdminClient) -> bool:
    """Whether some partition lacks a replica in sync, or a leader."""
    try:
        topics = await admin.describe_topics()
    except (KafkaError, OSError, TimeoutError):
        return True
    return any(
        for_code(part["error_code"]) is not for_code(0) or len(part["isr"]) < len(part["replicas"])
        for topic in topics
        for part in topic["partitions"]
    )
