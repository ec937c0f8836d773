"""All uses of attributes that aiokafka does not document, and the types of those that it does.

Ingest must go on when a broker does not come back. aiokafka's `stop()` then waits for its batches for ever, and there
is no public way to abort a producer; nor does it tell which broker leads a partition. decisions/0010 has the
alternatives, and test_aiokafka_internals.py holds both functions to the installed version.
"""

import asyncio
from typing import Any, Protocol

from aiokafka import TopicPartition


class BatchBuilder(Protocol):
    """aiokafka's builder of one record batch."""

    def append(self, *, timestamp: int, key: bytes | None, value: bytes) -> object | None:
        """Adds a record with a timestamp in milliseconds; returns None if the batch has no room for it."""

    def close(self) -> None:
        """Ends the batch, which takes no further records."""


class Cluster(Protocol):
    """aiokafka's metadata of a cluster."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Returns the partitions of a topic, None for an unknown one."""

    def leader_for_partition(self, partition: TopicPartition) -> int | None:
        """Returns the id of the broker that leads a partition; None or -1 for no leader."""


class Connections(Protocol):
    """aiokafka's connections to the brokers of a cluster."""

    cluster: Cluster

    async def close(self) -> None:
        """Closes all connections."""


class KafkaClient(Protocol):
    """The members of `AIOKafkaProducer` that ingest uses."""

    client: Connections

    async def start(self) -> None:
        """Connects."""

    async def partitions_for(self, topic: str) -> set[int]:
        """Fetches the metadata of a topic."""

    def create_batch(self) -> BatchBuilder:
        """Returns an empty record batch."""

    async def send_batch(self, batch: BatchBuilder, topic: str, *, partition: int) -> asyncio.Future[object]:
        """Queues a record batch; the future is set when Kafka has acknowledged or refused it."""


def partition_leaders(client: KafkaClient, topic: str) -> list[int]:
    """Returns the id of the broker that leads each partition of a topic, by the client's metadata; -1 for no leader."""
    cluster = client.client.cluster
    count = len(cluster.partitions_for_topic(topic) or ())
    leaders = (cluster.leader_for_partition(TopicPartition(topic, partition)) for partition in range(count))
    return [-1 if leader is None else leader for leader in leaders]


async def abort(client: KafkaClient, seconds: float) -> None:
    """Closes a producer without waiting for its batches; their futures may never be set.

    Waits at most `seconds` for its sending task, so that requests already on the wire end by themselves.
    """
    producer: Any = client
    producer._closed = True
    sender_task: asyncio.Task[None] | None = producer._sender.sender_task
    if sender_task is not None:
        sender_task.cancel()
    await producer.client.close()
    if sender_task is not None:
        await asyncio.wait({sender_task}, timeout=seconds)
