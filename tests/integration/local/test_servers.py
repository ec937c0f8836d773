import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from tests.conftest import Topics
from throughline.local import LocalKafka, LocalPostgres


async def test_a_database_is_migrated_and_fresh(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("select count(*) from workspaces") == 0
    finally:
        await connection.close()


async def test_topics_have_four_partitions_and_keep_records(kafka: LocalKafka, topics: Topics) -> None:
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all") as producer:
        await producer.send_and_wait(topics.touchpoints, b"value", key=b"key", partition=3)
    async with AIOKafkaConsumer(
        topics.touchpoints, bootstrap_servers=kafka.bootstrap, auto_offset_reset="earliest"
    ) as consumer:
        record = await consumer.getone()
    assert (record.partition, record.key, record.value) == (3, b"key", b"value")
    assert consumer.partitions_for_topic(topics.touchpoints) == {0, 1, 2, 3}


async def test_both_listen_on_this_machine_only(kafka: LocalKafka, postgres: LocalPostgres) -> None:
    assert kafka.bootstrap == f"127.0.0.1:{kafka.port}"
    assert f"@127.0.0.1:{postgres.port}/" in postgres.url
