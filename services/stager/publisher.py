"""The producer of the records that stager itself puts on the log: what it refuses, and the ids of erased persons."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from throughline.kit.kafka import create_producer
from throughline.kit.kafka_servers import Servers
from throughline.wire.claims import Claim, encode_claim
from throughline.wire.codec import Rejected, encode_rejected, partition_of


class Publisher:
    """Connects when there is something to send, which is seldom."""

    def __init__(self, servers: Servers, *, touchpoints_topic: str, rejected_topic: str) -> None:
        self._servers = servers
        self._touchpoints_topic = touchpoints_topic
        self._rejected_topic = rejected_topic
        self._producer: AIOKafkaProducer | None = None

    async def send_rejected(self, rejected: Sequence[Rejected]) -> None:
        """Send rejected events, and return when all in-sync replicas have them.

        Raises:
            KafkaError: they may not have arrived; send them again.
        """
        producer = await self._connected()
        acknowledgements = [
            await producer.send(self._rejected_topic, encode_rejected(event), key=event.origin.encode())
            for event in rejected
        ]
        await asyncio.gather(*acknowledgements)

    async def send_claims(self, claims: Sequence[Claim]) -> None:
        """Send claims, as `send_rejected` does, each to the partition of its key."""
        producer = await self._connected()
        partitions = len(await producer.partitions_for(self._touchpoints_topic))
        acknowledgements = [
            await producer.send(
                self._touchpoints_topic,
                encode_claim(claim),
                key=claim.key,
                partition=partition_of(claim.key, partitions),
            )
            for claim in claims
        ]
        await asyncio.gather(*acknowledgements)

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._producer is not None:
            await self._producer.stop()

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            producer = create_producer(self._servers)
            await producer.start()
            self._producer = producer
        return self._producer
