"""Which Kafka a command works on, and touchpoints put on its log."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from throughline.cli.common.output import fail
from throughline.cli.common.running import command_settings, find_running
from throughline.cli.common.status import Status
from throughline.kit.kafka import TOOL_REQUEST_TIMEOUT_MS, create_producer
from throughline.kit.kafka_servers import KafkaServers
from throughline.kit.settings import ServiceSettings
from throughline.wire.claims import Claim, encode_claim
from throughline.wire.codec import Touchpoint, encode, partition_of


class Topics(NamedTuple):
    """A Kafka, and the names of its topics."""

    servers: KafkaServers
    touchpoints: str
    rejected: str


def choose_topics(data: Path | None) -> Topics:
    """KAFKA if it is set, else the Kafka of the stack that runs on the data folder, else the default.

    `data` names the folder and goes before KAFKA; None stands for DATA of the environment or `.throughline`.
    """
    settings = command_settings()
    if data is None and settings.kafka is not None:
        bootstrap = settings.kafka
    else:
        running = find_running(data or settings.data)
        bootstrap = str(ServiceSettings.model_fields["kafka"].default) if running is None else running.kafka
    return Topics(settings.kafka_servers(bootstrap), settings.touchpoints_topic, settings.rejected_topic)


@contextmanager
def reading(topics: Topics, *, topic: str, if_missing: str) -> Iterator[None]:
    """End the command with a sentence when Kafka cannot be read; `if_missing` says why there may be no `topic` yet."""
    try:
        yield
    except UnknownTopicOrPartitionError:
        fail(f"Kafka at {topics.servers} has no topic {topic!r} yet: {if_missing}")
    except (KafkaError, OSError) as error:
        reason = str(error) or type(error).__name__
        fail(f"Kafka at {topics.servers} cannot be read ({reason}); set KAFKA=host:port", Status.UNREACHABLE)


@asynccontextmanager
async def producing(topics: Topics) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records are acknowledged by all in-sync replicas; ends the command when Kafka takes none."""
    producer = create_producer(topics.servers, request_timeout_ms=TOOL_REQUEST_TIMEOUT_MS)
    try:
        await producer.start()
        yield producer
    except (KafkaError, OSError) as error:
        reason = str(error) or type(error).__name__
        fail(f"Kafka at {topics.servers} does not take it ({reason}); set KAFKA=host:port", Status.UNREACHABLE)
    finally:
        await producer.stop()


async def put_claim(producer: AIOKafkaProducer, topics: Topics, claim: Claim) -> None:
    """Put a claim on the log, and wait until it is acknowledged.

    Raises:
        KafkaError: the claim may not be on the log.
    """
    partitions = len(await producer.partitions_for(topics.touchpoints))
    await producer.send_and_wait(
        topics.touchpoints, encode_claim(claim), key=claim.key, partition=partition_of(claim.key, partitions)
    )


async def put_touchpoint(producer: AIOKafkaProducer, topics: Topics, touchpoint: Touchpoint) -> None:
    """Put one touchpoint on the log, in its actor's partition, and wait until it is acknowledged.

    Raises:
        KafkaError: the touchpoint may not be on the log.
    """
    key = touchpoint.actor.encode()
    partitions = len(await producer.partitions_for(topics.touchpoints))
    await producer.send_and_wait(
        topics.touchpoints, encode(touchpoint), key=key, partition=partition_of(key, partitions)
    )
