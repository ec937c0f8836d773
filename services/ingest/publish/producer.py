"""The Kafka producer's life: connected in the background, given up and connected anew when it can not go on."""

import asyncio
import logging
from typing import Any

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from throughline.kit.kafka import create_producer, ensure_topics

log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 1_000_000
"""Below the 1,048,588 bytes a broker takes by default."""
REQUEST_MS = 10_000
CONNECT_SECONDS = 30.0
PAUSE_SECONDS = 0.5
DISCARD_SECONDS = REQUEST_MS / 1000 + 5
"""For a producer that is given up: long enough for what it has on the wire to end by itself."""
STOP_SECONDS = 2.0
"""The same when the process ends."""
METADATA_MS = 30_000
"""How soon added partitions are noticed."""


class Producer:
    """Holds `client`, an idempotent producer with acks=all, or None while there is no connection."""

    def __init__(
        self,
        bootstrap: str,
        *,
        touchpoints_topic: str,
        rejected_topic: str,
        partitions: int,
        replication_factor: int,
        min_insync_replicas: int,
    ) -> None:
        self._bootstrap = bootstrap
        self._topics = (touchpoints_topic, rejected_topic)
        self._partitions = partitions
        self._replication_factor = replication_factor
        self._min_insync_replicas = min_insync_replicas
        self._wanted = asyncio.Event()
        self._wanted.set()
        self._discarding: set[asyncio.Task[None]] = set()
        self.client: Any = None

    def leaders(self, client: Any, topic: str) -> list[int]:
        """The broker that leads each of the topic's partitions, as `client` knows them; -1 where there is none."""
        cluster = client.client.cluster
        count = len(cluster.partitions_for_topic(topic) or ())
        found = (cluster.leader_for_partition(TopicPartition(topic, partition)) for partition in range(count))
        return [-1 if leader is None else leader for leader in found]

    def recreate(self, client: Any) -> None:
        """Give `client` up and connect anew; does nothing when that has happened already."""
        if client is self.client:
            self.client = None
            self._wanted.set()
            task = asyncio.get_running_loop().create_task(discard(client))
            self._discarding.add(task)
            task.add_done_callback(self._discarding.discard)

    async def run(self) -> None:
        """Connect whenever there is no connection, until cancelled."""
        said = False
        while True:
            await self._wanted.wait()
            try:
                self.client = await self._connect()
            except (KafkaError, OSError, TimeoutError) as error:
                if not said:
                    log.warning("Kafka at %s is away (%s); trying on", self._bootstrap, error or type(error).__name__)
                said = True
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                said = False
                self._wanted.clear()
                log.info("connected to Kafka at %s", self._bootstrap)

    async def _connect(self) -> Any:
        touchpoints, rejected = self._topics
        await asyncio.wait_for(
            ensure_topics(
                self._bootstrap,
                {touchpoints: self._partitions, rejected: 1},
                replication_factor=self._replication_factor,
                min_insync_replicas=self._min_insync_replicas,
            ),
            CONNECT_SECONDS,
        )
        client = create_producer(
            self._bootstrap,
            client_id="throughline-ingest",
            linger_ms=0,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_BATCH_BYTES,
            request_timeout_ms=REQUEST_MS,
            metadata_max_age_ms=METADATA_MS,
        )
        try:
            await asyncio.wait_for(_start(client, self._topics), CONNECT_SECONDS)
        except BaseException:
            await discard(client)
            raise
        return client

    async def stop(self) -> None:
        """Close the connection; whatever is not acknowledged by now is given up."""
        client, self.client = self.client, None
        if client is not None:
            await discard(client, STOP_SECONDS)
        if self._discarding:
            await asyncio.wait(self._discarding, timeout=STOP_SECONDS)


async def _start(client: Any, topics: tuple[str, str]) -> None:
    await client.start()
    for topic in topics:
        await client.partitions_for(topic)


async def discard(client: Any, seconds: float = DISCARD_SECONDS) -> None:
    """Close a producer now. Its own stop() waits for every batch, for ever if the broker does not come back, and there
    is no public way to give them up. Whoever waits for a batch of it is never told."""
    client._closed = True
    sender = client._sender.sender_task
    if sender is not None:
        sender.cancel()
    await client.client.close()
    if sender is not None:
        await asyncio.wait({sender}, timeout=seconds)
