"""Kafka clients of every process, each kind made in one place, and the topics that processes need.

A client is made inside the running event loop; whoever makes one starts and stops it.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import TypedDict, Unpack

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, codec
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.client import create_conn
from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.record import _crecords, default_records
from tenacity import AsyncRetrying, retry_if_exception_type, wait_fixed

from throughline.kit.kafka_servers import KafkaServers, Servers, kafka_servers

log = logging.getLogger(__name__)

SESSION_TIMEOUT_MS = 10_000
"""A member of a group whose heartbeats stay away this long is dead, and another takes its partitions."""
HEARTBEAT_INTERVAL_MS = 1_000
MAX_POLL_INTERVAL_MS = 3_600_000
"""A member that waits for its database is not thrown out of the group: only its heartbeat says whether it lives."""
GROUP_REQUEST_TIMEOUT_MS = 20_000
GROUP_METADATA_MS = 30_000
"""Age at which a group fetches the metadata of its topics again: added partitions are staged as late as this."""
_TOPICS_OWN = 1
"""What Kafka calls the origin of a setting that the topic itself has."""
TOOL_REQUEST_TIMEOUT_MS = 10_000
"""Somebody waits for these: a broker that is away is reported soon."""
REFUSAL_SECONDS = 3.0
"""Maximum time to find out why no broker lets a client in."""


class CompiledRecordsMissingError(RuntimeError):
    """aiokafka runs without its C extension, some fifteen times slower than what is promised, or cannot compress."""


class ProducerTuning(TypedDict, total=False):
    """Options of a producer that differ from one to the next; aiokafka's defaults stand for those left out."""

    client_id: str
    metadata_max_age_ms: int
    request_timeout_ms: int


class FetchTuning(TypedDict, total=False):
    """Options of a group consumer that differ from one to the next; aiokafka's defaults stand for those left out."""

    fetch_max_wait_ms: int
    max_partition_fetch_bytes: int


def require_compiled_records() -> None:
    """Fail at start rather than run an order of magnitude too slow.

    Raises:
        CompiledRecordsMissingError: the platform has no wheel of aiokafka with its C extension.
    """
    if default_records.DefaultRecordBatchBuilder is not _crecords.DefaultRecordBatchBuilder:
        raise CompiledRecordsMissingError(
            "aiokafka's C extension is not in use; install its wheel for this platform and unset AIOKAFKA_NO_EXTENSIONS"
        )


def create_producer(servers: Servers, **tuning: Unpack[ProducerTuning]) -> AIOKafkaProducer:
    """A producer that loses and repeats nothing: idempotent, acknowledged by all in-sync replicas. It compresses its
    record batches: decisions/0019 says why with zstd.

    Raises:
        CompiledRecordsMissingError: the package that compresses is not installed.
    """
    if not codec.has_zstd():
        raise CompiledRecordsMissingError(
            "the package cramjam, which compresses record batches, is not installed: "
            "pip install --require-hashes -r requirements/dev.txt (or requirements/services.txt)"
        )
    return AIOKafkaProducer(
        **kafka_servers(servers).client_options(),
        acks="all",
        enable_idempotence=True,
        compression_type="zstd",
        **tuning,
    )


def create_group_consumer(servers: Servers, group: str, **tuning: Unpack[FetchTuning]) -> AIOKafkaConsumer:
    """A member of a consumer group that commits its offsets itself and begins with the oldest record."""
    return AIOKafkaConsumer(
        **kafka_servers(servers).client_options(),
        group_id=group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_interval_ms=MAX_POLL_INTERVAL_MS,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_INTERVAL_MS,
        request_timeout_ms=GROUP_REQUEST_TIMEOUT_MS,
        metadata_max_age_ms=GROUP_METADATA_MS,
        **tuning,
    )


def create_reader(servers: Servers, *topics: str) -> AIOKafkaConsumer:
    """A consumer of whole topics that belongs to no group and commits nothing: it is in no other consumer's way."""
    return AIOKafkaConsumer(
        *topics,
        **kafka_servers(servers).client_options(),
        enable_auto_commit=False,
        request_timeout_ms=TOOL_REQUEST_TIMEOUT_MS,
    )


def create_admin(servers: Servers, *, request_timeout_ms: int = TOOL_REQUEST_TIMEOUT_MS) -> AIOKafkaAdminClient:
    """A client that creates and describes topics and clusters."""
    return AIOKafkaAdminClient(**kafka_servers(servers).client_options(), request_timeout_ms=request_timeout_ms)


HOUR_MS = 3_600_000
SEGMENT_HOURS = 24
"""Maximum time that one segment of a topic spans. Kafka deletes a segment when its last record is too old."""


def log_seconds(retention_hours: int) -> float | None:
    """Returns the time after which Kafka holds nothing any more of what it holds now; None: Kafka alone knows."""
    if not retention_hours:
        return None
    # An hour more than retention and segment: Kafka looks every few minutes.
    return (retention_hours + min(SEGMENT_HOURS, retention_hours) + 1) * 3600.0


def _retention(hours: int) -> dict[str, str]:
    if not hours:
        return {}
    return {"retention.ms": str(hours * HOUR_MS), "segment.ms": str(min(SEGMENT_HOURS, hours) * HOUR_MS)}


async def ensure_topics(
    servers: Servers,
    topics: Mapping[str, int],
    *,
    replication_factor: int = 1,
    min_insync_replicas: int = 1,
    retention_hours: int = 0,
) -> None:
    """Create those of `topics` (name -> number of partitions) that do not exist.

    All keep their records for `retention_hours`; with 0 those that exist stay as they are.

    Raises:
        KafkaError: no broker answers, or it refuses.
    """
    admin = create_admin(servers)
    try:
        await admin.start()
    except KafkaConnectionError as failure:
        await admin.close()
        raise KafkaConnectionError(f"{failure}: {await _refusal(kafka_servers(servers))}") from None
    try:
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                name=name,
                num_partitions=partitions,
                replication_factor=replication_factor,
                topic_configs={"min.insync.replicas": str(min_insync_replicas)} | dict(_retention(retention_hours)),
            )
            for name, partitions in topics.items()
            if name not in existing
        ]
        if missing:
            answer = await admin.create_topics(missing)
            for name, code, *_ in answer.topic_errors:
                error = for_code(code)
                if code != 0 and error is not TopicAlreadyExistsError:
                    raise error(f"creating topic {name!r}")
        try:
            await _set_retention(admin, sorted(existing & topics.keys()), _retention(retention_hours))
        except KafkaError as error:
            log.warning("the retention of the topics stays as it is: %s", error or type(error).__name__)
    finally:
        await admin.close()


async def _refusal(servers: KafkaServers) -> str:
    """Why no broker takes a connection: the client's own error names the addresses only."""
    options = servers.client_options()
    options.pop("bootstrap_servers")
    reason = ""
    try:
        async with asyncio.timeout(REFUSAL_SECONDS):
            for host, port, _ in collect_hosts(servers.bootstrap):
                try:
                    connection = await create_conn(host, port, **options)
                except (KafkaError, OSError) as error:
                    reason = str(error) or type(error).__name__
                else:
                    connection.close()
    except TimeoutError:
        reason = reason or f"no answer within {REFUSAL_SECONDS:g} s"
    return reason


async def _set_retention(admin: AIOKafkaAdminClient, topics: Sequence[str], retention: dict[str, str]) -> None:
    """Give existing topics settings that they do not have yet; their other settings stay.

    A broker that does not allow it is left alone: its operators set the retention.
    """
    if not topics or not retention:
        return
    to_alter = []
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]):
        for code, message, _, name, entries in answer.resources:
            if code != 0:
                log.warning("the settings of topic %r cannot be read: %s", name, message or for_code(code).__name__)
                continue
            # Kafka takes the whole of a topic's own settings, and forgets those left out.
            stored = {key: value for key, value, _, origin, *_ in entries if origin == _TOPICS_OWN}
            if not retention.items() <= stored.items():
                to_alter.append(ConfigResource(ConfigResourceType.TOPIC, name, stored | retention))
    for answer in await admin.alter_configs(to_alter) if to_alter else ():
        for code, message, _, name in answer.resources:
            if code != 0:
                log.warning("the retention of topic %r stays as it is: %s", name, message or for_code(code).__name__)


async def wait_for_topics(
    servers: Servers,
    topics: Mapping[str, int],
    *,
    replication_factor: int = 1,
    min_insync_replicas: int = 1,
    retention_hours: int = 0,
    pause_seconds: float = 1.0,
) -> None:
    """`ensure_topics`, tried until a broker answers: a service may start before its broker."""
    async for attempt in AsyncRetrying(
        retry=retry_if_exception_type((KafkaError, OSError, TimeoutError)), wait=wait_fixed(pause_seconds)
    ):
        with attempt:
            await ensure_topics(
                servers,
                topics,
                replication_factor=replication_factor,
                min_insync_replicas=min_insync_replicas,
                retention_hours=retention_hours,
            )
