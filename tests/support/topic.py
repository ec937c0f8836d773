"""The records of a topic."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import Rejected, decode, decode_rejected


async def read_touchpoints(bootstrap: str, topic: str, partitions: int = 4) -> list[Touchpoint]:
    """Every touchpoint that the topic holds at this moment, partition by partition."""
    return [decode(value) for value in await read_values(bootstrap, topic, partitions)]


async def read_rejected(bootstrap: str, topic: str, partitions: int = 4) -> list[Rejected]:
    """Every rejected event that the topic holds at this moment."""
    return [decode_rejected(value) for value in await read_values(bootstrap, topic, partitions)]


async def read_values(bootstrap: str, topic: str, partitions: int) -> list[bytes]:
    """The value of every record, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        expected = sum((await consumer.end_offsets(assigned)).values())
        values: list[bytes] = []
        while len(values) < expected:
            batches = await consumer.getmany(timeout_ms=1_000)
            values += [record.value for records in batches.values() for record in records]
        return values
    finally:
        await consumer.stop()
