"""The attributes that aiokafka does not document are what aiokafka_internals.py takes them for."""

import asyncio
from io import BytesIO
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.protocol.metadata import MetadataResponse_v1
from aiokafka.protocol.produce import ProduceRequest, ProduceRequest_v7, ProduceResponse_v7
from aiokafka.record.default_records import DefaultRecordBatch

from services.ingest.publish.aiokafka_internals import (
    ALL_REPLICAS,
    ANSWER_MS,
    COMPRESS_BYTES,
    RECORD_BYTES,
    Record,
    abort,
    partition_leaders,
    produce,
    record_batch,
)

PLACES = [TopicPartition("touchpoints", 0), TopicPartition("rejected", 3), TopicPartition("touchpoints", 7)]


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


@pytest.mark.parametrize("length", [0, 100, 5_000])
async def test_batches_of_a_partition_have_consecutive_numbers_and_are_compressed_when_large(length: int) -> None:
    client = producer()
    client._txn_manager.set_pid_and_epoch(42, 3)
    place = PLACES[0]
    records: list[Record] = [(1_000, b"ada", b"v" * length), (2**62, None, b"w" * length), (-(2**62), b"", b"")]
    size = sum(len(key or b"") + len(value) + RECORD_BYTES for _, key, value in records)
    batches = [record_batch(client, place, records, size) for _ in range(2)]
    for number, encoded in enumerate(batches):
        assert len(encoded) <= 61 + size
        batch = DefaultRecordBatch(bytearray(encoded))
        assert batch.validate_crc()
        assert (batch.producer_id, batch.producer_epoch, batch.base_sequence) == (42, 3, number * len(records))
        assert bool(batch.compression_type) == (size >= COMPRESS_BYTES)
        assert [(record.timestamp, record.key, record.value) for record in batch] == records
    first = DefaultRecordBatch(bytearray(record_batch(client, PLACES[1], records, size)))
    assert first.base_sequence == 0, "each partition has its own numbers"
    await abort(client, 0)


async def test_a_produce_request_and_its_answer_are_those_of_aiokafka(monkeypatch: pytest.MonkeyPatch) -> None:
    client = producer()
    batches = [(place, bytearray(b"batch %d" % number)) for number, place in enumerate(PLACES)]
    sent: list[Any] = []

    async def send(broker: int, request: Any) -> Any:
        assert broker == 5
        sent.append(request.prepare({ProduceRequest.API_KEY: (0, 12)}))
        partitions = [[(3, 6, -1, -1, -1)], [(0, 0, 55, -1, 0), (7, 46, -1, -1, -1)]]
        answer = ProduceResponse_v7(topics=list(zip(("rejected", "touchpoints"), partitions, strict=True)))
        answer.throttle_time_ms = 0
        return sent[0].RESPONSE_TYPE.decode(BytesIO(answer.encode()))

    monkeypatch.setattr(client.client, "send", send)
    codes = await produce(client, 5, batches)
    assert codes == {("rejected", 3): 6, ("touchpoints", 0): 0, ("touchpoints", 7): 46}
    assert codes[PLACES[2]] == 46
    (ours,) = sent
    topics = [("touchpoints", [(0, b"batch 0"), (7, b"batch 2")]), ("rejected", [(3, b"batch 1")])]
    theirs = ProduceRequest(None, ALL_REPLICAS, ANSWER_MS, topics).prepare({ProduceRequest.API_KEY: (3, 7)})
    assert isinstance(theirs, ProduceRequest_v7)
    assert ours.encode() == theirs.encode()
    assert ours.build_request_header(9, "us").encode() == theirs.build_request_header(9, "us").encode()
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
