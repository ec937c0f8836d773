"""What is on a topic, read as a consumer would."""

from aiokafka import AIOKafkaConsumer, TopicPartition

from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import Rejected, decode, decode_rejected


async def read_touchpoints(bootstrap: str, topic: str, partitions: int = 4) -> list[Touchpoint]:
    """Every touchpoint that the topic holds at this moment, partition by partition."""
    return [decode(value) for value in await read_values(bootstrap, topic, partitions)]


async def read_rejected(bootstrap: str, topic: str, partitions: int = 4) -> list[Rejected]:
    """Every rejection that the topic holds at this moment."""
    return [decode_rejected(value) for value in await read_values(bootstrap, topic, partitions)]


async def read_values(bootstrap: str, topic: str, partitions: int) -> list[bytes]:
    """Every record's value, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
    await consumer.start()
    try:
        assigned = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(assigned)
        await consumer.seek_to_beginning(*assigned)
        expected = sum((await consumer.end_offsets(assigned)).values())
        found: list[bytes] = []
        while len(found) < expected:
            batches = await consumer.getmany(timeout_ms=1_000)
            found += [record.value for records in batches.values() for record in records]
        return found
    finally:
        await consumer.stop()
