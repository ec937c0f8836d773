"""Refused events on their way again, a few at once; what became of each is written to the topic."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import quote

import httpx
from aiokafka import AIOKafkaProducer

from throughline.cli.common.deliver import NotTakenError, deliver, reason_of
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.log import put, writing
from throughline.cli.common.output import say
from throughline.cli.common.target import Target
from throughline.cli.rejected.scan import Choice, in_topic, progress
from throughline.cli.rejected.topic import OK, Found, Id, encode_outcomes, read
from throughline.kit.clock import now_us, rfc3339
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import UndecodableError, decode

UNDER_WAY = 16
GROUP = 100
"""Events of one request that are sent together at most: each has an entry in a header."""
GROUP_BYTES = 256 * 1024
NOTED = 500
"""What became of so many is written at once, or of those of a second."""
_NOTE_SECONDS = 1.0


class Doors(NamedTuple):
    """Where events go."""

    target: Target | None
    """Ingest; None where only records go, which stager refused."""
    source: SourceKey | None
    """What its key belongs to."""


@dataclass
class Sums:
    """What became of the events."""

    taken: int = 0
    refused: int = 0
    failed: int = 0
    """Records that stager refused and would again: not sent."""
    reasons: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False
    stopped: str = ""
    """Why it was given up, "" if it was not."""

    def add(self, outcome: str, message: str) -> None:
        if outcome == OK:
            self.taken += 1
        else:
            self.refused += 1
            self.reasons[f"{outcome}: {message}"] += 1


def send_again(choice: Choice, ids: Collection[Id], doors: Doors) -> Sums:
    """Send these records; ends the command when Kafka cannot be read or written."""
    sums = Sums()

    async def work(consumer: Any) -> None:
        auth = None if doors.target is None else (doors.target.write_key, "")
        base = "" if doors.target is None else doors.target.url
        async with (
            writing(choice.log) as producer,
            httpx.AsyncClient(base_url=base, auth=auth, timeout=30) as client,
        ):
            sender = _Sender(choice, client, producer, sums)
            with interrupted() as ended:
                try:
                    await _each(consumer, choice, ids, sender, ended)
                except NotTakenError as error:
                    sums.stopped = str(error)
                finally:
                    await sender.note()
                sums.interrupted = ended.is_set()

    in_topic(choice.log, work)
    return sums


async def _each(consumer: Any, choice: Choice, ids: Collection[Id], sender: "_Sender", ended: asyncio.Event) -> None:
    under_way: set[asyncio.Task[None]] = set()
    sent = 0
    try:
        with progress("sending") as told:
            async for together in _groups(consumer, choice, ids):
                under_way.add(asyncio.create_task(sender.send(together)))
                sent += len(together)
                if len(under_way) >= UNDER_WAY:
                    done, under_way = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                    for task in done:
                        task.result()
                    await sender.note_some()
                    told(sent, len(ids))
                if ended.is_set():
                    break
            await asyncio.gather(*under_way)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


async def _groups(consumer: Any, choice: Choice, ids: Collection[Id]) -> AsyncIterator[list[Found]]:
    """The records to send, those of one request together as far as they fit."""
    together: list[Found] = []
    left, size = len(ids), 0
    async for found in read(consumer, choice.wanted.since_us, lambda *_: None):
        if found.id not in ids:
            continue
        left -= 1
        size += len(found.one.payload)
        if together and not (_same_request(together[-1], found) and len(together) < GROUP and size <= GROUP_BYTES):
            yield together
            together, size = [], len(found.one.payload)
        together.append(found)
        if not left:
            break
    if together:
        yield together


def _same_request(found: Found, following: Found) -> bool:
    one, other = found.one, following.one
    return (
        found.partition == following.partition
        and one.stage == other.stage == "ingest"
        and (one.received_us, one.source, one.envelope) == (other.received_us, other.source, other.envelope)
        and one.envelope.after.startswith(b"]")
    )


class _Sender:
    """Sends one event after another, and remembers what became of them."""

    def __init__(self, choice: Choice, client: httpx.AsyncClient, producer: AIOKafkaProducer, sums: Sums) -> None:
        self._log = choice.log
        self._retention_cutoffs = choice.retention_cutoffs
        self._client = client
        self._producer = producer
        self._sums = sums
        self._outcomes: dict[Id, str] = {}
        self._noted_at = time.monotonic()

    async def send(self, together: list[Found]) -> None:
        """Send records of one request.

        Raises:
            NotTakenError: ingest takes nothing, or not with this key.
        """
        if together[0].one.stage == "stager":
            await self._to_log(together[0])
        else:
            await self._to_ingest(together)

    async def note_some(self) -> None:
        """Write down what became of events, if it has become much."""
        if len(self._outcomes) >= NOTED or time.monotonic() - self._noted_at > _NOTE_SECONDS:
            await self.note()

    async def note(self) -> None:
        """Write down what became of events."""
        if self._outcomes:
            outcomes, self._outcomes = self._outcomes, {}
            await self._producer.send_and_wait(self._log.rejected, encode_outcomes(outcomes, now_us()))
        self._noted_at = time.monotonic()

    async def _to_ingest(self, together: list[Found]) -> None:
        first = together[0].one
        around = first.envelope
        places = [f"{self._log.rejected}/{found.partition}/{found.offset}" for found in together]
        headers = {
            "Content-Type": around.content_type,
            "X-Throughline-Received-At": rfc3339(first.received_us),
            "X-Throughline-Replay-Of": ",".join(places),
        }
        message_ids = [quote(found.one.message_id, safe="") for found in together]
        if any(message_ids):
            headers["X-Throughline-Message-Id"] = ",".join(message_ids)
        if around.library:
            headers["posthog-sdk-info"] = around.library
        body = around.before + b",".join(found.one.payload for found in together) + around.after
        answer = await deliver(self._client, around.path, body, headers, say)
        if answer.status_code == 200:
            for found, verdict in zip(together, answer.json()["verdicts"], strict=True):
                taken = verdict["verdict"] in ("ok", "warning")
                self._note_down(found, OK if taken else verdict["code"], verdict.get("message", ""))
        elif answer.status_code not in (400, 431):
            why = reason_of(answer).message
            raise NotTakenError(f"ingest at {self._client.base_url} answers {answer.status_code}: {why}")
        elif len(together) > 1:  # one of them spoils it for the others
            for found in together:
                await self._to_ingest([found])
        else:
            self._note_down(together[0], *reason_of(answer))

    def _note_down(self, found: Found, outcome: str, message: str) -> None:
        self._outcomes[found.id] = outcome
        self._sums.add(outcome, message)

    async def _to_log(self, found: Found) -> None:
        """Put a record that stager refused on the log again, if it is a touchpoint now that a stager takes."""
        try:
            touchpoint = decode(found.one.payload)
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
            self._sums.failed += 1
            self._sums.reasons[f"{error.code}: {error}"] += 1
            return
        await put(self._producer, self._log, touchpoint)
        self._note_down(found, OK, "")
