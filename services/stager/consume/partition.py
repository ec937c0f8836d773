"""One assigned partition: where it stands, found out again after each failure, and what keeps it from going on."""

import asyncio
import logging
import time

from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_exponential

from services.stager.consume.position import Position, locate
from services.stager.context import StagerContext
from services.stager.stage.offset import StaleOffsetError
from throughline.kit import metrics
from throughline.store.engine.errors import failure_of

log = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0
NO_PAUSE = ("contention", "stale")
"""Kinds of failures that another attempt does not have to wait for."""

_wait = wait_exponential(multiplier=FIRST_PAUSE_SECONDS, max=LONGEST_PAUSE_SECONDS)


class AssignedPartition:
    """A partition of this member. The loop of rounds reads and stages it; a task of its own locates it."""

    def __init__(self, context: StagerContext, tp: TopicPartition) -> None:
        self.tp = tp
        self.position: Position | None = None
        """None until it is located, and after a failure."""
        self.trouble = ""
        """What keeps the partition from going on; "" when nothing does."""
        self.without_kafka_since: float | None = None
        """The instant, by the monotonic clock, since which Kafka has only failed. None: it works, or was not needed."""
        self._context = context
        self._pauses_until = 0.0
        self._locating: asyncio.Task[None] | None = None

    @property
    def next_offset(self) -> int | None:
        """The offset after the last record staged; None until it is known."""
        return None if self.position is None else self.position.stored.next_offset

    @property
    def received_watermark_us(self) -> int:
        """Everything received before this instant is in the state; 0 when unknown."""
        return 0 if self.position is None else self.position.stored.received_watermark_us

    def locate(self) -> None:
        """Begin to find out where to go on, unless that is known or under way, or the partition is held up."""
        is_idle = self._locating is None or self._locating.done()
        if self.position is None and is_idle and time.monotonic() >= self._pauses_until:
            self._locating = asyncio.create_task(self._locate(), name=f"locate {self.tp.topic}/{self.tp.partition}")

    async def stop(self) -> None:
        """Locate no more."""
        if self._locating is not None:
            self._locating.cancel()
            await asyncio.wait([self._locating])

    def note_failure(self, error: BaseException) -> None:
        """Note what keeps the partition from going on. Where it stands has to be found out again."""
        kind = kind_of(error)
        self.position = None
        if kind in NO_PAUSE:
            return
        self.trouble = f"{kind}: {first_line(error)}"
        if kind != "kafka":
            self.without_kafka_since = None
        elif self.without_kafka_since is None:
            self.without_kafka_since = time.monotonic()

    def hold_up(self, error: Exception) -> None:
        """Note a failure that concerns this partition alone: it pauses, and the others go on."""
        self.note_failure(error)
        self._pauses_until = time.monotonic() + LONGEST_PAUSE_SECONDS

    def note_success(self) -> None:
        """Note that the partition goes on."""
        if self.position is not None:
            self.trouble = ""
            self.without_kafka_since = None

    async def _locate(self) -> None:
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(Exception), wait=pause_seconds, before_sleep=self._note_attempt
        )
        self.position = await retrying(locate, self._context.consumer, self._context.engine, self.tp)

    def _note_attempt(self, attempt: RetryCallState) -> None:
        error = count_failure(f"{self.tp.topic}/{self.tp.partition}", attempt)
        self.note_failure(error)


def count_failure(what: str, attempt: RetryCallState) -> BaseException:
    """Count and log a failure, before the same thing is tried again; returns it. The log keeps everything meanwhile."""
    error = _error_of(attempt)
    kind = kind_of(error)
    metrics.STAGER_RETRIES.labels(kind).inc()
    if kind not in NO_PAUSE:
        log.warning(
            "%s waits %.2f s and tries again: %s: %s",
            what,
            attempt.upcoming_sleep,
            kind,
            first_line(error),
            exc_info=error if kind == "internal" else None,
        )
    return error


def kind_of(error: BaseException) -> str:
    """Returns what kind of failure an exception is, as `throughline_stager_batch_retries_total` counts them."""
    if isinstance(error, StaleOffsetError):
        return "stale"
    return failure_of(error) or ("kafka" if isinstance(error, KafkaError) else "internal")


def first_line(error: BaseException) -> str:
    """Returns the first line of an exception's message: of the driver's own, when SQLAlchemy has wrapped it."""
    origin: object = getattr(error, "orig", None) or error
    return (str(origin) or type(origin).__name__).splitlines()[0][:500]


def pause_seconds(attempt: RetryCallState) -> float:
    """Returns how long to wait before the next attempt."""
    return 0.0 if kind_of(_error_of(attempt)) in NO_PAUSE else _wait(attempt)


def _error_of(attempt: RetryCallState) -> BaseException:
    assert attempt.outcome is not None
    error = attempt.outcome.exception()
    assert error is not None
    return error
