"""The Kafka producer's connection: opened in the background, aborted and opened again when it cannot go on."""

import asyncio
import logging

from aiokafka.errors import KafkaError

from services.ingest.publish.aiokafka_internals import KafkaClient, abort
from throughline.kit.kafka import create_producer, ensure_topics
from throughline.kit.kafka_servers import Servers

log = logging.getLogger(__name__)

REQUEST_MS = 10_000
CONNECT_SECONDS = 30.0
RETRY_SECONDS = 0.5
ABORT_SECONDS = REQUEST_MS / 1000 + 5
"""How long an aborted client may take: longer than any request that it has on the wire."""
STOP_SECONDS = 2.0
"""How long an aborted client may take when the process ends."""
METADATA_MS = 30_000
"""Age at which topic metadata is fetched again: added partitions are noticed as late as this."""


class ReconnectingProducer:
    """Holds `client`, an idempotent producer with acks=all, or None while there is no connection."""

    def __init__(
        self,
        servers: Servers,
        *,
        touchpoints_topic: str,
        rejected_topic: str,
        partitions: int,
        replication_factor: int,
        min_insync_replicas: int,
    ) -> None:
        self._servers = servers
        self._topics = (touchpoints_topic, rejected_topic)
        self._partitions = partitions
        self._replication_factor = replication_factor
        self._min_insync_replicas = min_insync_replicas
        self._connection_needed = asyncio.Event()
        self._connection_needed.set()
        self._aborting: set[asyncio.Task[None]] = set()
        self.client: KafkaClient | None = None

    def reconnect(self, client: KafkaClient) -> None:
        """Aborts `client` and opens a new connection, unless that has been done already."""
        if client is self.client:
            self.client = None
            self._connection_needed.set()
            task = asyncio.get_running_loop().create_task(abort(client, ABORT_SECONDS))
            self._aborting.add(task)
            task.add_done_callback(self._aborting.discard)

    async def run(self) -> None:
        """Connects whenever there is no connection, until cancelled."""
        is_logged = False
        while True:
            await self._connection_needed.wait()
            try:
                self.client = await self._connect()
            except (KafkaError, OSError, TimeoutError) as error:
                if not is_logged:
                    reason = error or type(error).__name__
                    log.warning("Kafka at %s is away (%s); trying again until it answers", self._servers, reason)
                is_logged = True
                await asyncio.sleep(RETRY_SECONDS)
            else:
                is_logged = False
                self._connection_needed.clear()
                log.info("connected to Kafka at %s", self._servers)

    async def _connect(self) -> KafkaClient:
        touchpoints_topic, rejected_topic = self._topics
        await asyncio.wait_for(
            ensure_topics(
                self._servers,
                {touchpoints_topic: self._partitions, rejected_topic: 1},
                replication_factor=self._replication_factor,
                min_insync_replicas=self._min_insync_replicas,
            ),
            CONNECT_SECONDS,
        )
        client: KafkaClient = create_producer(
            self._servers,
            client_id="throughline-ingest",
            request_timeout_ms=REQUEST_MS,
            metadata_max_age_ms=METADATA_MS,
        )
        try:
            await asyncio.wait_for(_start(client, self._topics), CONNECT_SECONDS)
        except BaseException:
            await abort(client, ABORT_SECONDS)
            raise
        return client

    async def stop(self) -> None:
        """Closes the connection. Batches that Kafka has not acknowledged by now are lost."""
        client, self.client = self.client, None
        if client is not None:
            await abort(client, STOP_SECONDS)
        if self._aborting:
            await asyncio.wait(self._aborting, timeout=STOP_SECONDS)


async def _start(client: KafkaClient, topics: tuple[str, str]) -> None:
    await client.start()
    for topic in topics:
        await client.partitions_for(topic)
