"""All uses of attributes that aiokafka does not document, and the types of those that it does.

- Ingest must go on when a broker does not come back. aiokafka's `stop()` then waits for its batches for ever, and there
  is no public way to abort a producer; nor does it tell which broker leads a partition.
- aiokafka's sender takes a record batch through four futures, a task and generic schemas, which costs more than judging
  an event. So batcher.py sends its rounds itself: on aiokafka's connections, with aiokafka's record batches, by
  aiokafka's producer id and sequence numbers.

decisions/0010 has the alternatives and the numbers; test_aiokafka_internals.py holds all to the installed version.
"""

import asyncio
import struct
from collections.abc import Iterable, Sequence
from io import BytesIO
from typing import Any, Protocol

from aiokafka import TopicPartition
from aiokafka.protocol.produce import ProduceRequest_v7
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

ALL_REPLICAS = -1
"""The acknowledgement that a produce request asks for."""
ANSWER_MS = 10_000
"""Time after which a broker gives up to wait for its replicas."""
COMPRESS_BYTES = 4_096
"""Number of bytes of records from which a batch is compressed: decisions/0019."""
RECORD_BYTES = 32
"""Maximum number of bytes that a record of a batch has beside its key and value."""


class Cluster(Protocol):
    """aiokafka's metadata of a cluster."""

    def partitions_for_topic(self, topic: str) -> set[int] | None:
        """Returns the partitions of a topic, None for an unknown one."""

    def leader_for_partition(self, partition: TopicPartition) -> int | None:
        """Returns the id of the broker that leads a partition; None or -1 for no leader."""


class Connections(Protocol):
    """aiokafka's connections to the brokers of a cluster."""

    cluster: Cluster

    async def send(self, node_id: int, request: Any) -> Any:
        """Sends a request to a broker and returns its answer; connects before that if need be.

        Raises:
            KafkaError: the broker is away, or does not answer in time.
        """

    def force_metadata_update(self) -> asyncio.Future[bool]:
        """Fetches the metadata of the cluster; the future is set when they are there, or could not be had."""

    async def close(self) -> None:
        """Closes all connections."""


class KafkaClient(Protocol):
    """The members of `AIOKafkaProducer` that ingest uses."""

    client: Connections

    async def start(self) -> None:
        """Connects."""

    async def partitions_for(self, topic: str) -> set[int]:
        """Fetches the metadata of a topic."""


Record = tuple[int, bytes | None, bytes]
"""Timestamp in milliseconds, key and value."""


def partition_leaders(client: KafkaClient, topic: str) -> list[int]:
    """Returns the id of the broker that leads each partition of a topic, by the client's metadata; -1 for no leader."""
    count = len(client.client.cluster.partitions_for_topic(topic) or ())
    return [leader_of(client, TopicPartition(topic, partition)) for partition in range(count)]


def leader_of(client: KafkaClient, place: TopicPartition) -> int:
    """Returns the id of the broker that leads a partition, by the client's metadata; -1 for no leader."""
    leader = client.client.cluster.leader_for_partition(place)
    return -1 if leader is None else leader


def record_batch(client: KafkaClient, place: TopicPartition, records: Sequence[Record], size: int) -> bytearray:
    """Returns the next record batch of a partition, of records of at most `size` bytes.

    A batch that is built must be sent: a broker refuses those that follow one that it never got.
    """
    numbers = client._txn_manager  # type: ignore[attr-defined]
    first = numbers.sequence_number(place)
    codec = DefaultRecordBatch.CODEC_ZSTD if size >= COMPRESS_BYTES else DefaultRecordBatch.CODEC_NONE
    builder = DefaultRecordBatchBuilder(2, codec, 0, numbers.producer_id, numbers.producer_epoch, first, _ANY_SIZE)
    for offset, (timestamp_ms, key, value) in enumerate(records):
        builder.append(offset, timestamp_ms, key, value, _NO_HEADERS)
    batch: bytearray = builder.build()
    numbers.increment_sequence_number(place, len(records))
    return batch


async def produce(
    client: KafkaClient, broker: int, batches: Iterable[tuple[TopicPartition, bytearray]]
) -> dict[tuple[str, int], int]:
    """Sends record batches in one request to the broker that leads their partitions, at most one of each partition.

    Returns Kafka's error code by topic and partition, once all in-sync replicas have what is not refused (0).

    Raises:
        KafkaError: the broker is away, or did not answer in time. Whether it has the batches is unknown.
    """
    codes: dict[tuple[str, int], int] = await client.client.send(broker, _Produce(batches))
    return codes


class _Codes:
    """Reads the answer to a produce request."""

    @staticmethod
    def decode(answer: BytesIO) -> dict[tuple[str, int], int]:
        data = answer.read()
        codes: dict[tuple[str, int], int] = {}
        (topics,) = _INT.unpack_from(data)
        at = _INT.size
        for _ in range(topics):
            (length,) = _SHORT.unpack_from(data, at)
            at += _SHORT.size
            topic = data[at : at + length].decode()
            at += length
            (partitions,) = _INT.unpack_from(data, at)
            at += _INT.size
            for _ in range(partitions):
                partition, code = _ANSWER.unpack_from(data, at)
                codes[topic, partition] = code
                at += _ANSWER.size
        return codes


class _Produce(ProduceRequest_v7):  # type: ignore[misc]
    """A produce request, encoded without aiokafka's schema: that is a tenth of the time."""

    RESPONSE_TYPE: Any = _Codes

    def __init__(self, batches: Iterable[tuple[TopicPartition, bytearray]]) -> None:
        by_topic: dict[str, list[tuple[int, bytearray]]] = {}
        for (topic, partition), batch in batches:
            by_topic.setdefault(topic, []).append((partition, batch))
        parts: list[bytes | bytearray] = [_HEAD.pack(_NO_TRANSACTION, ALL_REPLICAS, ANSWER_MS, len(by_topic))]
        for topic, of_topic in by_topic.items():
            name = topic.encode()
            parts += (_SHORT.pack(len(name)), name, _INT.pack(len(of_topic)))
            for partition, batch in of_topic:
                parts += (_PARTITION.pack(partition, len(batch)), batch)
        self._encoded = b"".join(parts)

    def prepare(self, _: object) -> "_Produce":
        """Takes the place of `ProduceRequest`, which chooses a version: each broker that knows zstd knows this one."""
        return self

    def encode(self) -> bytes:
        return self._encoded


_ANY_SIZE = 2**31 - 1
_NO_HEADERS: list[tuple[str, bytes | None]] = []
_NO_TRANSACTION = -1
_HEAD = struct.Struct(">hhii")
_SHORT = struct.Struct(">h")
_INT = struct.Struct(">i")
_PARTITION = struct.Struct(">ii")
_ANSWER = struct.Struct(">ih24x")
"""Partition and error code; then offset, timestamp and the log's first offset, which nobody needs."""


async def abort(client: KafkaClient, seconds: float) -> None:
    """Closes a producer without waiting for its batches.

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
