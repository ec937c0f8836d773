"""Rejected events on their way again, several requests at once; the outcome of each is written to the topic."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import quote

import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from throughline.cli.common.deliver import NotTakenError, deliver, problem_of
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.output import say
from throughline.cli.common.target import Target
from throughline.cli.common.topics import producing, put_touchpoint
from throughline.cli.rejected.scan import Selection, progress_bar, with_consumer
from throughline.cli.rejected.topic import OK, RecordId, RejectedRecord, encode_outcomes, read_records
from throughline.kit.clock import now_us, rfc3339
from throughline.kit.stages import RejectionStage
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import UndecodableError, decode

MAX_REQUESTS_UNDER_WAY = 16
MAX_GROUP_EVENTS = 100
"""Maximum number of events of one request that are sent together: each has an entry in a header."""
MAX_GROUP_BYTES = 256 * 1024
OUTCOMES_PER_RECORD = 500
OUTCOMES_SECONDS = 1.0
"""Outcomes are written when there are `OUTCOMES_PER_RECORD` of them, or at the latest after so long."""


class Destinations(NamedTuple):
    """Where events go: those that ingest rejected to ingest, those that stager rejected to the log."""

    target: Target | None
    """Ingest; None when no event goes there."""
    key: SourceKey | None
    """The write key of the target, and the source that it belongs to."""


@dataclass
class ReplayResult:
    """Number of events by what became of them."""

    accepted: int = 0
    rejected: int = 0
    not_sent: int = 0
    """Records that stager rejected and would reject again."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Number of events not accepted, by code and message."""
    interrupted: bool = False
    gave_up: NotTakenError | None = None
    """Why the replay ended early; None when it did not."""

    def add(self, outcome: str, message: str) -> None:
        """Count one event that was sent."""
        if outcome == OK:
            self.accepted += 1
        else:
            self.rejected += 1
            self.reasons[f"{outcome}: {message}"] += 1

    def add_not_sent(self, error: UndecodableError) -> None:
        """Count one record that no stager would take."""
        self.not_sent += 1
        self.reasons[f"{error.code}: {error}"] += 1


def send_again(selection: Selection, ids: Collection[RecordId], destinations: Destinations) -> ReplayResult:
    """Send these records; ends the command when Kafka cannot be read or written."""
    result = ReplayResult()
    target = destinations.target

    async def work(consumer: AIOKafkaConsumer) -> None:
        auth = None if target is None else (target.write_key, "")
        base_url = "" if target is None else target.url
        headers = {} if target is None else target.operator_headers
        async with (
            producing(selection.topics) as producer,
            httpx.AsyncClient(base_url=base_url, auth=auth, headers=headers, timeout=30) as client,
        ):
            sender = _Sender(selection, client, producer, result)
            with interrupted() as ended:
                try:
                    await _send_groups(_groups(consumer, selection, ids), len(ids), sender, ended)
                except NotTakenError as error:
                    result.gave_up = error
                finally:
                    await sender.write_outcomes()
                result.interrupted = ended.is_set()

    with_consumer(selection.topics, work)
    return result


async def _send_groups(
    groups: AsyncIterator[list[RejectedRecord]], total: int, sender: "_Sender", ended: asyncio.Event
) -> None:
    under_way: set[asyncio.Task[None]] = set()
    sent = 0
    try:
        with progress_bar("sending") as on_progress:
            async for group in groups:
                under_way.add(asyncio.create_task(sender.send(group)))
                sent += len(group)
                if len(under_way) >= MAX_REQUESTS_UNDER_WAY:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                    await sender.write_outcomes_if_due()
                    on_progress(sent, total)
                if ended.is_set():
                    break
            await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _groups(
    consumer: AIOKafkaConsumer, selection: Selection, ids: Collection[RecordId]
) -> AsyncIterator[list[RejectedRecord]]:
    """The records to send; those of one request together, as far as they fit."""
    group: list[RejectedRecord] = []
    remaining, size = len(ids), 0
    async for record in read_records(consumer, selection.filters.since_us, lambda *_: None):
        if record.id not in ids:
            continue
        remaining -= 1
        size += len(record.event.payload)
        fits = len(group) < MAX_GROUP_EVENTS and size <= MAX_GROUP_BYTES
        if group and not (fits and _are_of_one_request(group[-1], record)):
            yield group
            group, size = [], len(record.event.payload)
        group.append(record)
        if not remaining:
            break
    if group:
        yield group


def _are_of_one_request(record: RejectedRecord, following: RejectedRecord) -> bool:
    """Whether both came in one request whose body is a list."""
    first, second = record.event, following.event
    return (
        record.id.partition == following.id.partition
        and first.stage == second.stage == RejectionStage.INGEST
        and (first.received_us, first.source, first.envelope) == (second.received_us, second.source, second.envelope)
        and first.envelope.after.startswith(b"]")
    )


class _Sender:
    """Sends groups of records, and writes their outcomes to the topic."""

    def __init__(
        self, selection: Selection, client: httpx.AsyncClient, producer: AIOKafkaProducer, result: ReplayResult
    ) -> None:
        self._topics = selection.topics
        self._retention_cutoffs = selection.retention_cutoffs
        self._client = client
        self._producer = producer
        self._result = result
        self._outcomes: dict[RecordId, str] = {}
        self._written_at = time.monotonic()

    async def send(self, group: list[RejectedRecord]) -> None:
        """Send the records of one request, or one record that stager rejected.

        Raises:
            NotTakenError: ingest takes nothing, or not with this key.
        """
        if group[0].event.stage == RejectionStage.STAGER:
            await self._put_on_log(group[0])
        else:
            await self._post(group)

    async def write_outcomes_if_due(self) -> None:
        """Write the outcomes when there are many, or when the last ones were written long ago."""
        if len(self._outcomes) >= OUTCOMES_PER_RECORD or time.monotonic() - self._written_at > OUTCOMES_SECONDS:
            await self.write_outcomes()

    async def write_outcomes(self) -> None:
        """Write the outcomes that are not written yet."""
        if self._outcomes:
            outcomes, self._outcomes = self._outcomes, {}
            await self._producer.send_and_wait(self._topics.rejected, encode_outcomes(outcomes, now_us()))
        self._written_at = time.monotonic()

    async def _post(self, group: list[RejectedRecord]) -> None:
        first = group[0].event
        envelope = first.envelope
        headers = {
            "Content-Type": envelope.content_type,
            "X-Throughline-Received-At": rfc3339(first.received_us),
            "X-Throughline-Replay-Of": ",".join(f"{self._topics.rejected}/{record.id}" for record in group),
        }
        message_ids = [quote(record.event.message_id, safe="") for record in group]
        if any(message_ids):
            headers["X-Throughline-Message-Id"] = ",".join(message_ids)
        if envelope.library:
            headers["X-Throughline-Library"] = envelope.library
        body = envelope.before + b",".join(record.event.payload for record in group) + envelope.after
        answer = await deliver(self._client, envelope.path, body, headers, say)
        if answer.status_code == 200:
            for record, verdict in zip(group, answer.json()["verdicts"], strict=True):
                is_accepted = verdict["verdict"] in ("ok", "warning")
                self._note_outcome(record, OK if is_accepted else verdict["code"], verdict.get("message", ""))
        elif answer.status_code not in (400, 431):
            message = problem_of(answer).message
            raise NotTakenError(f"ingest at {self._client.base_url} answers {answer.status_code}: {message}")
        elif len(group) > 1:  # one record spoils the request for the others
            for record in group:
                await self._post([record])
        else:
            self._note_outcome(group[0], *problem_of(answer))

    async def _put_on_log(self, record: RejectedRecord) -> None:
        """Put a record that stager rejected on the log again, if it is a touchpoint that a stager takes now."""
        try:
            touchpoint = decode(record.event.payload)
            retention_cutoff_us = self._retention_cutoffs.get(touchpoint.workspace)
            if retention_cutoff_us is None:
                raise UndecodableError(
                    "unknown_workspace", "workspace", f"there is no workspace {touchpoint.workspace}"
                )
            if touchpoint.occurred_us < retention_cutoff_us:
                raise UndecodableError(
                    "before_horizon", "occurred_us", f"it happened before {rfc3339(retention_cutoff_us)}, what is kept"
                )
        except UndecodableError as error:
            self._result.add_not_sent(error)
            return
        await put_touchpoint(self._producer, self._topics, touchpoint)
        self._note_outcome(record, OK, "")

    def _note_outcome(self, record: RejectedRecord, outcome: str, message: str) -> None:
        self._outcomes[record.id] = outcome
        self._result.add(outcome, message)
