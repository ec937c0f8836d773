"""The attributes that aiokafka does not document are what aiokafka_internals.py takes them for."""

import asyncio

from aiokafka import AIOKafkaProducer
from aiokafka.protocol.metadata import MetadataResponse_v1

from services.ingest.publish.aiokafka_internals import abort, partition_leaders


def producer() -> AIOKafkaProducer:
    return AIOKafkaProducer(bootstrap_servers="127.0.0.1:9", acks="all", enable_idempotence=True)


async def test_leaders_by_the_metadata_of_a_cluster() -> None:
    client = producer()
    brokers = [(7, "a", 9092, None), (8, "b", 9092, None)]
    partitions = [(0, 0, 8, [8], [8]), (0, 1, 7, [7], [7]), (5, 2, -1, [], [])]  # the last one has lost its leader
    client.client.cluster.update_metadata(MetadataResponse_v1(brokers, 7, [(0, "touchpoints", False, partitions)]))
    assert partition_leaders(client, "touchpoints") == [8, 7, -1]
    assert partition_leaders(client, "unheard of") == []
    await abort(client, 0)


async def test_an_aborted_producer_waits_for_no_batch_and_is_closed() -> None:
    client = producer()

    async def send_for_ever() -> None:
        await asyncio.Event().wait()

    task = asyncio.get_running_loop().create_task(send_for_ever())
    client._sender._sender_task = task
    assert client._sender.sender_task is task
    async with asyncio.timeout(5):
        await abort(client, 1)
        await client.stop()  # does nothing: it is closed
    assert task.cancelled()
