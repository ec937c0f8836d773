"""What all partitions of a process share."""

import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from aiokafka import AIOKafkaConsumer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.stager.stage.models import ModelRegistry
from throughline.wire.claims import Claim
from throughline.wire.codec import Rejected

SendRejected = Callable[[Sequence[Rejected]], Awaitable[None]]
"""Sends rejected events, and returns when all in-sync replicas have them.

Raises:
    KafkaError: they may not have arrived; send them again.
"""


SendClaims = Callable[[Sequence[Claim]], Awaitable[None]]
"""Puts claims on the log of touchpoints, and returns when all in-sync replicas have them. Raises as `SendRejected`."""

MAX_ISOLATED_FAULTS = 100
"""Maximum number of records that faults of the stager's own may cost in `FAULT_WINDOW_SECONDS`. Beyond it the stager
waits for a better version, so that a bad one cannot reject everything."""
FAULT_WINDOW_SECONDS = 600.0


class FaultLimit:
    """How many records faults of the stager's own have cost lately."""

    def __init__(self) -> None:
        self._instants: deque[float] = deque(maxlen=MAX_ISOLATED_FAULTS)

    @property
    def is_reached(self) -> bool:
        """Whether no further record may be rejected for a fault of the stager's own now."""
        instants = self._instants
        return len(instants) == MAX_ISOLATED_FAULTS and time.monotonic() - instants[0] < FAULT_WINDOW_SECONDS

    def note(self) -> None:
        """Note that a record was rejected for a fault of the stager's own."""
        self._instants.append(time.monotonic())


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
        send_claims: SendClaims,
        log_seconds: float | None = None,
    ) -> None:
        self.consumer = consumer
        self.engine = engine
        self.models = models
        self.send_rejected = send_rejected
        self.batch_records = batch_records
        """Maximum number of records in a round."""
        self.send_claims = send_claims
        self.log_seconds = log_seconds
        """The time after which Kafka holds nothing any more of what it holds now; None: unknown."""
        self.faults = FaultLimit()
        self.received_watermark_us = 0
        """Everything received before this instant is in the state, on all partitions, as far as the process knows."""
