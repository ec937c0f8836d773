"""Which Kafka a command works on, and records put on the log of touchpoints."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from throughline.cli.common.database import running_on
from throughline.cli.common.output import fail
from throughline.kit.kafka import TOOL_REQUEST_TIMEOUT_MS, create_producer
from throughline.kit.settings import DatabaseSettings, Shared, load
from throughline.wire.codec import Touchpoint, encode, partition_of


class Log(NamedTuple):
    """A broker and its topics."""

    kafka: str
    topic: str
    """Of touchpoints."""
    rejected: str


def choose_log(data: Path | None) -> Log:
    """KAFKA if it is set, else the broker of the `make run` that runs on the data folder, else the default.

    `data` names the folder and goes before KAFKA; None stands for DATA of the environment or `.throughline`.
    """
    settings = load(DatabaseSettings)
    if data is None and settings.kafka is not None:
        return Log(settings.kafka, settings.touchpoints_topic, settings.rejected_topic)
    running = running_on(data or settings.data)
    broker = Shared.model_fields["kafka"].default if running is None else running.get("kafka")
    return Log(str(broker), settings.touchpoints_topic, settings.rejected_topic)


@asynccontextmanager
async def writing(log: Log) -> AsyncIterator[AIOKafkaProducer]:
    """A producer whose records are acknowledged by all in-sync replicas; ends the command when Kafka takes none."""
    producer = create_producer(log.kafka, request_timeout_ms=TOOL_REQUEST_TIMEOUT_MS)
    try:
        await producer.start()
        yield producer
    except (KafkaError, OSError) as error:
        fail(f"Kafka at {log.kafka} does not take it ({error or type(error).__name__}); set KAFKA=host:port")
    finally:
        await producer.stop()


async def put(producer: AIOKafkaProducer, log: Log, touchpoint: Touchpoint) -> None:
    """Put one touchpoint on the log, in its actor's partition, and wait until it is acknowledged.

    Raises:
        KafkaError: it is not.
    """
    key = touchpoint.actor.encode()
    partitions = await producer.partitions_for(log.topic)
    await producer.send_and_wait(log.topic, encode(touchpoint), key=key, partition=partition_of(key, len(partitions)))


async def write(log: Log, touchpoint: Touchpoint) -> None:
    """Put one touchpoint on the log; ends the command when it cannot."""
    async with writing(log) as producer:
        await put(producer, log, touchpoint)
