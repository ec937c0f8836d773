"""What a Kafka client has open, as metrics: of attributes that aiokafka does not document.

test_kafka_figures.py holds them to the installed version.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from throughline.kit.metrics import KAFKA_CONNECTIONS, KAFKA_REQUESTS

INTERVAL_SECONDS = 2.0


async def measure_kafka(name: str, client: Callable[[], Any]) -> None:
    """Set the figures of a client until cancelled. `client` returns aiokafka's producer or consumer, None while there
    is none."""
    while True:
        connections, requests = figures_of(client())
        KAFKA_CONNECTIONS.labels(name).set(connections)
        KAFKA_REQUESTS.labels(name).set(requests)
        await asyncio.sleep(INTERVAL_SECONDS)


def figures_of(client: Any) -> tuple[int, int]:
    """Returns the number of open connections of a producer or consumer, and of requests that await an answer."""
    if client is None:
        return 0, 0
    connections = getattr(client, "client", None) or client._client
    opened = [connection for connection in list(connections._conns.values()) if connection.connected()]
    return len(opened), sum(len(connection._requests) for connection in opened)
