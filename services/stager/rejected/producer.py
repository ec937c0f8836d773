"""The producer of the rejected topic, for records that stager itself refuses."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer

from throughline.kit.kafka import create_producer
from throughline.kit.kafka_servers import Servers
from throughline.wire.codec import Rejected, encode_rejected


class RejectedProducer:
    """Sends to the rejected topic. Connects when there is something to send, which is seldom."""

    def __init__(self, servers: Servers, topic: str) -> None:
        self._servers = servers
        self._topic = topic
        self._producer: AIOKafkaProducer | None = None

    async def send(self, rejected: Sequence[Rejected]) -> None:
        """Send rejected events, and return when all in-sync replicas have them.

        Raises:
            KafkaError: they may not have arrived; send them again.
        """
        if self._producer is None:
            producer = create_producer(self._servers)
            await producer.start()
            self._producer = producer
        acknowledgements = [
            await self._producer.send(self._topic, encode_rejected(event), key=event.origin.encode())
            for event in rejected
        ]
        await asyncio.gather(*acknowledgements)

    async def close(self) -> None:
        """Flush and disconnect."""
        if self._producer is not None:
            await self._producer.stop()
