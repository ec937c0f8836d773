"""Common to the consuming baselines: where they connect, and the line in which they print their rate."""

import json
import os
import time

from aiokafka import AIOKafkaConsumer

KAFKA = os.environ["KAFKA"]
DATABASE_URL = os.environ["DATABASE_URL"]
TOPIC = os.environ["TOPIC"]
EVENTS = int(os.environ["EVENTS"])
"""Number of events after which a baseline ends."""


def consumer(**options: bool) -> AIOKafkaConsumer:
    """A consumer of the topic in a group of its own, from the beginning."""
    return AIOKafkaConsumer(
        TOPIC,
        bootstrap_servers=KAFKA,
        group_id=os.environ["GROUP"],
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=4 * 1024 * 1024,
        **options,
    )


class Progress:
    """Counts committed events. Its clock starts when it is constructed, when the consumer has its partitions."""

    def __init__(self) -> None:
        self._done = 0
        self._began = time.perf_counter()

    @property
    def finished(self) -> bool:
        """Whether all expected events are committed."""
        return self._done >= EVENTS

    def add(self, events: int) -> None:
        """Count events that are committed."""
        self._done += events

    def print_rate(self) -> None:
        """Print the rate for the bench to read."""
        print(json.dumps({"rate": self._done / (time.perf_counter() - self._began)}))
