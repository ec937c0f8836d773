"""The attributes that aiokafka does not document are what kafka_figures.py takes them for."""

import asyncio

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.conn import AIOKafkaConnection

from throughline.kit.kafka_figures import figures_of


@pytest.mark.parametrize("kind", [AIOKafkaProducer, AIOKafkaConsumer])
async def test_connections_and_requests_are_counted(kind: type[AIOKafkaProducer | AIOKafkaConsumer]) -> None:
    client = kind(bootstrap_servers="127.0.0.1:9")
    assert figures_of(None) == figures_of(client) == (0, 0)
    connection = AIOKafkaConnection("127.0.0.1", 9)
    brokers = client.client._conns if kind is AIOKafkaProducer else client._client._conns
    brokers["a broker"] = connection
    assert figures_of(client) == (0, 0)
    connection._reader = asyncio.StreamReader()
    assert connection.connected()
    assert figures_of(client) == (1, 0)
    connection._requests.append((1, None, None))
    assert figures_of(client) == (1, 1)
    connection._requests.clear()
    connection._reader = None
    brokers.clear()
    await client.stop()
