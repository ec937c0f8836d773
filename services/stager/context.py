"""What all partitions of a process share."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.models import ModelRegistry
from throughline.wire.codec import Rejected

SendRejected = Callable[[Sequence[Rejected]], Awaitable[None]]
"""Sends rejected events, and returns when all in-sync replicas have them.

Raises:
    KafkaError: they may not have arrived; send them again.
"""


class StagerContext:
    """The clients and limits of a stager process, and what it knows of all partitions."""

    def __init__(
        self,
        *,
        consumer: AIOKafkaConsumer,
        engine: AsyncEngine,
        models: ModelRegistry,
        send_rejected: SendRejected,
        batch_records: int,
        transactions: int,
    ) -> None:
        self.consumer = consumer
        self.engine = engine
        self.models = models
        self.send_rejected = send_rejected
        self.batch_records = batch_records
        """Maximum number of records in a batch."""
        self.transactions = asyncio.Semaphore(transactions)
        """To be held during a transaction: limits those under way at once."""
        self.received_watermark_us = 0
        """Everything received before this instant is in the state, on all partitions, as far as the process knows."""
