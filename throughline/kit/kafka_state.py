"""What a person asks a Kafka first: its brokers, and how its topics are laid out."""

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from throughline.kit.kafka import create_admin, create_reader
from throughline.kit.kafka_servers import Servers

_RETENTION, _MIN_INSYNC = "retention.ms", "min.insync.replicas"


class TopicState(NamedTuple):
    """The layout of a topic."""

    name: str
    partitions: int
    replicas: int
    """The smallest number of copies of a partition."""
    min_insync: int
    leaderless: tuple[int, ...]
    """Partitions that nobody can write to or read."""
    short_of_replicas: tuple[int, ...]
    """Partitions with fewer copies in sync than they have."""
    below_min_insync: tuple[int, ...]
    """Partitions that take no events."""
    retention_ms: int
    """Negative: for ever."""


class ClusterState(NamedTuple):
    """The brokers that answer, and those of the topics that exist."""

    brokers: int
    topics: dict[str, TopicState]


class LogRange(NamedTuple):
    """The first offset that a partition still holds, and the one of its next record."""

    begin: int
    end: int


async def read_cluster(servers: Servers, topics: Iterable[str]) -> ClusterState:
    """Returns the state of the cluster.

    Raises:
        KafkaError: no broker answers, or it refuses.
    """
    names = list(topics)
    admin = create_admin(servers)
    try:
        await admin.start()
        brokers = len((await admin.describe_cluster())["brokers"])
        states = {}
        for topic in await admin.describe_topics(names):
            if topic["error_code"] == 0:
                states[topic["topic"]] = _topic_state(topic, await _settings(admin, topic["topic"]))
        return ClusterState(brokers, states)
    finally:
        await admin.close()


async def read_log_ranges(servers: Servers, topic: str) -> dict[int, LogRange]:
    """Returns what each partition of an existing topic holds.

    Raises:
        KafkaError: no broker answers, or it refuses.
    """
    consumer = create_reader(servers, topic)
    try:
        await consumer.start()
        partitions: list[TopicPartition] = sorted(consumer.assignment())
        begins, ends = await consumer.beginning_offsets(partitions), await consumer.end_offsets(partitions)
        return {each.partition: LogRange(begins[each], ends[each]) for each in partitions}
    finally:
        await consumer.stop()


async def _settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {name: value for *_, entries in answer.resources for name, value, *_ in entries}


def _topic_state(topic: dict[str, object], settings: dict[str, str]) -> TopicState:
    partitions = topic["partitions"]
    assert isinstance(partitions, list)
    min_insync = int(settings.get(_MIN_INSYNC, "1"))

    def numbers(*having: bool) -> tuple[int, ...]:
        return tuple(sorted(each["partition"] for each, has in zip(partitions, having, strict=True) if has))

    return TopicState(
        str(topic["topic"]),
        len(partitions),
        min(len(each["replicas"]) for each in partitions),
        min_insync,
        numbers(*(each["leader"] < 0 for each in partitions)),
        numbers(*(len(each["isr"]) < len(each["replicas"]) for each in partitions)),
        numbers(*(len(each["isr"]) < min_insync for each in partitions)),
        int(settings.get(_RETENTION, "-1")),
    )
