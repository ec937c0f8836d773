"""Claims put on the log. Connects when there is one, which is seldom."""

import asyncio
import logging

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from throughline.kit.errors import ServiceError
from throughline.kit.kafka import TOOL_REQUEST_TIMEOUT_MS, create_producer
from throughline.kit.kafka_servers import Servers
from throughline.wire.claims import Claim, encode_claim
from throughline.wire.codec import partition_of

log = logging.getLogger(__name__)


class ClaimLog:
    """The log of touchpoints, as far as the api writes to it."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._servers = servers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None
        self._connecting = asyncio.Lock()

    async def put(self, claim: Claim) -> None:
        """Put a claim on the log, and wait until it is acknowledged.

        Raises:
            ServiceError: 503 `log_away`: the claim may not be on the log.
        """
        try:
            producer = await self._connected()
            partitions = len(await producer.partitions_for(self._topic))
            await producer.send_and_wait(
                self._topic, encode_claim(claim), key=claim.key, partition=partition_of(claim.key, partitions)
            )
        except (KafkaError, OSError) as error:
            log.warning("Kafka does not take a claim: %s: %s", type(error).__name__, error)
            raise ServiceError(
                503, "log_away", "Kafka does not answer; send the same again", headers={"Retry-After": "5"}
            ) from error

    async def close(self) -> None:
        """Disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        async with self._connecting:
            if self._producer is None:
                producer = create_producer(self._servers, request_timeout_ms=TOOL_REQUEST_TIMEOUT_MS)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer
