"""Gathering a round: the next records of all partitions, as many as a round may have, in number and in bytes.

Partitions take turns by the piece, so that none with a backlog leaves the others without room. A quiet moment gathers:
a round waits for `WINDOW_SECONDS` or `WINDOW_RECORDS`, and for as long as the last one is being written.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from aiokafka import TopicPartition

from services.stager.stage.decode import Record

PIECE_RECORDS = 100
"""Number of records that are taken from the client at once: it unpacks them only then."""
ROUND_BYTES = 16 * 1024 * 1024
"""Number of bytes from which on a round takes no further piece. Record batches are compressed: a small fetch may hold
very much."""
WINDOW_SECONDS = 0.08
"""Time that a round which is not full waits, after its first record."""
WINDOW_RECORDS = 200
"""Number of records from which on a round waits for no more: more would save little, and hold up the first ones."""
LOOK_SECONDS = WINDOW_SECONDS / 4
"""Time between two looks at what has come, within the window and while the last round is being written."""
REST_SECONDS = 0.5
"""Maximum time that an idle process waits for a record of the partitions it knows."""

Round = Mapping[TopicPartition, Sequence[Record]]
"""Records of some partitions, in order, at least one of each."""


SMALL_ROUND_RECORDS = 1_000
"""Number of records up to which a round is one transaction; a larger one may be several, side by side."""
LANES = 4
"""Maximum number of transactions side by side."""


class Consumer(Protocol):
    """What is used of aiokafka's consumer."""

    async def getmany(self, *partitions: TopicPartition, timeout_ms: int, max_records: int) -> Any:
        """Returns records by partition; of all that are assigned if none are named."""


class Gathering:
    """A round in the making."""

    def __init__(self, consumer: Consumer, max_records: int, *, piece_records: int = PIECE_RECORDS) -> None:
        self.records: dict[TopicPartition, list[Record]] = {}
        self._consumer = consumer
        self._left = max_records
        self._bytes_left = ROUND_BYTES
        self._piece_records = piece_records

    @property
    def is_large_enough(self) -> bool:
        """Whether the round has so many records that it need not wait for more."""
        return sum(map(len, self.records.values())) >= WINDOW_RECORDS

    @property
    def is_full(self) -> bool:
        """Whether the round may have no more records."""
        return self._left <= 0 or self._bytes_left <= 0

    async def take(self, partitions: Sequence[TopicPartition], *, wait_seconds: float = 0.0) -> None:
        """Take what the client has of some partitions, a piece of each in turn; wait for the first record if need be.

        Raises:
            KafkaError: the broker refuses.
        """
        if not partitions:
            return
        piece = max(1, min(self._piece_records, self._left // len(partitions)))
        if await self._take_piece(partitions, piece, wait_seconds) < piece:
            return  # that was all it had
        waiting = list(partitions)
        while waiting and not self.is_full:
            waiting = [tp for tp in waiting if not self.is_full and await self._take_piece([tp], piece) == piece]

    async def _take_piece(self, partitions: Sequence[TopicPartition], piece: int, wait_seconds: float = 0.0) -> int:
        """Take up to `piece` records, of the first partitions that have some; returns how many."""
        # The client gives what it has without a pause. Whoever writes the last round has a turn before each piece.
        await asyncio.sleep(0)
        polled = await self._consumer.getmany(
            *partitions, timeout_ms=int(1e3 * wait_seconds), max_records=min(piece, self._left)
        )
        taken = 0
        for tp, records in polled.items():
            self.records.setdefault(tp, []).extend(records)
            self._bytes_left -= sum(len(record.value or b"") for record in records)
            taken += len(records)
        self._left -= taken
        return taken


async def gather(
    consumer: Consumer,
    partitions: Callable[[], Sequence[TopicPartition]],
    *,
    max_records: int,
    ends: Callable[[], float],
    write: asyncio.Future[Any],
    came: Callable[[], None] = lambda: None,
) -> Round:
    """Returns the next round; an empty one when nothing comes.

    Args:
        partitions: those to read now, the one first whose turn it is.
        max_records: of all together.
        ends: when to end without any record, by the monotonic clock; looked at again and again.
        write: the writing of the last round. Until it has ended, a round that is not full goes on gathering.
        came: called when the first record has come.

    Raises:
        KafkaError: the broker refuses.
    """
    gathering = Gathering(consumer, max_records)
    window_ends: float | None = None
    while True:
        turn = partitions()
        await gathering.take(turn)
        now = time.monotonic()
        if window_ends is None and gathering.records:
            window_ends = now + WINDOW_SECONDS
            came()
        left = 0.0 if gathering.is_large_enough else (ends() if window_ends is None else window_ends) - now
        if gathering.is_full or (left <= 0 and write.done()):
            return gathering.records
        if left <= 0:
            await asyncio.wait([write], timeout=LOOK_SECONDS)
        elif gathering.records or not turn:
            await asyncio.sleep(min(left, LOOK_SECONDS))
        else:
            await gathering.take(turn, wait_seconds=min(left, REST_SECONDS if write.done() else LOOK_SECONDS))


def by_partition(records: Round, size: int) -> list[list[Round]]:
    """Returns a round divided into lanes: each has some partitions, and about as many records as the others.

    A lane is staged in transactions of at most `size` records, one after the other. While PostgreSQL works for one
    lane, the process computes for another.
    """
    if sum(map(len, records.values())) <= SMALL_ROUND_RECORDS:
        return [by_order(records, size)] if records else []
    lanes: list[dict[TopicPartition, Sequence[Record]]] = [{} for _ in range(min(LANES, len(records)))]
    sizes = [0] * len(lanes)
    for tp, of in sorted(records.items(), key=lambda item: -len(item[1])):
        smallest = sizes.index(min(sizes))
        lanes[smallest][tp] = of
        sizes[smallest] += len(of)
    return [by_order(lane, size) for lane in lanes]


def by_order(records: Round, size: int) -> list[Round]:
    """Returns records divided into transactions of about `size`, each with the next records of every partition."""
    transactions = -(-sum(map(len, records.values())) // size)
    ends = {tp: [len(of) * n // transactions for n in range(transactions + 1)] for tp, of in records.items()}
    return [
        {tp: of[ends[tp][n] : ends[tp][n + 1]] for tp, of in records.items() if ends[tp][n] < ends[tp][n + 1]}
        for n in range(transactions)
    ]
