"""What `rejected list`, `export` and `replay` share: their filters, and one pass over the topic."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NamedTuple, TypeVar

import typer
from aiokafka import AIOKafkaConsumer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.common.database import in_database
from throughline.cli.common.output import fail, stderr_console
from throughline.cli.common.status import Status
from throughline.cli.common.times import instant_option_us
from throughline.cli.common.topics import Topics, choose_topics, reading
from throughline.cli.rejected.topic import (
    OK,
    Filters,
    OnProgress,
    RecordId,
    RejectedRecord,
    decode_outcomes,
    read_records,
    source_of,
)
from throughline.kit.clock import MIN_US, now_us
from throughline.kit.kafka import create_reader
from throughline.kit.stages import RejectionStage
from throughline.store.access.keys import SourceKey, read_source_keys
from throughline.store.access.sources import SourceInfo, list_sources
from throughline.store.generations import read_generations
from throughline.wire.codec import Rejected

T = TypeVar("T")

SourceOption = Annotated[str | None, typer.Option("--source", help="Only events of the source of this name.")]
CodeOption = Annotated[
    str | None, typer.Option("--code", help="Only those refused for this reason, such as missing_field.")
]
StageOption = Annotated[str | None, typer.Option("--stage", help="Only those refused by ingest, or by stager.")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="Received since: 30m, 2h, 7d ago, or an ISO 8601 time.", metavar="WHEN")
]
UntilOption = Annotated[str | None, typer.Option("--until", help="Received before: likewise.", metavar="WHEN")]


class Selection(NamedTuple):
    """The rejected events that a command is about, and what it has to know of their sources and workspaces."""

    topics: Topics
    filters: Filters
    source_names: dict[int, str]
    keys: list[SourceKey]
    retention_cutoffs: dict[int, int]
    """Workspace id -> its retention cutoff, in microseconds; `MIN_US` when it keeps everything."""


class Rejection(NamedTuple):
    """What rejected events are counted by."""

    source: int
    stage: str
    code: str


class Scan(NamedTuple):
    """The selected events that one pass over the topic found, each by the id of its record."""

    rejections: dict[RecordId, Rejection]
    received_us: dict[RecordId, int]
    outcomes: dict[RecordId, str]
    """The last outcome of those that were replayed: `OK`, or the code of the reason."""
    not_replayable: dict[RecordId, str]
    """Why an event cannot be replayed at all."""
    newest: list[RejectedRecord]
    """The newest records whole, newest first."""

    def counts(self) -> list[tuple[Rejection, int, int]]:
        """Number of events of each rejection, and number of these that a replay got accepted; most frequent first."""
        accepted = Counter(rejection for id_, rejection in self.rejections.items() if self.outcomes.get(id_) == OK)
        events = Counter(self.rejections.values())
        return [(rejection, number, accepted[rejection]) for rejection, number in events.most_common()]


def select(
    workspace: str | None,
    source: str | None,
    code: str | None,
    stage: str | None,
    since: str | None,
    until: str | None,
    data: Path | None,
) -> Selection:
    """The selection that the options of a command describe; ends the command when an option is wrong."""
    now = now_us()
    since_us = instant_option_us("--since", since, now)
    until_us = instant_option_us("--until", until, now)
    listed, keys, retention_cutoffs = in_database(lambda c: _read_access(c, workspace, now), data)
    selected = {each.id: each.name for each in listed if source in (None, each.name)}
    if source is not None and not selected:
        choices = ", ".join(sorted({each.name for each in listed})) or "none yet"
        fail(f"no source {source!r}; there are: {choices}", Status.WRONG_USE)
    sources = frozenset(selected) if source or workspace else None
    filters = Filters(sources, stage, code, since_us, until_us)
    return Selection(choose_topics(data), filters, selected, keys, retention_cutoffs)


async def _read_access(
    connection: AsyncConnection, workspace: str | None, now: int
) -> tuple[list[SourceInfo], list[SourceKey], dict[int, int]]:
    retention_cutoffs = {
        number: MIN_US if models.retention_cutoff_us is None else models.retention_cutoff_us
        for number, models in (await read_generations(connection)).items()
    }
    return await list_sources(connection, workspace), await read_source_keys(connection, now_us=now), retention_cutoffs


def with_consumer(topics: Topics, work: Callable[[AIOKafkaConsumer], Awaitable[T]]) -> T:
    """Run `work` with a consumer of the topic; ends the command with a sentence when Kafka cannot be read."""

    async def run() -> T:
        consumer = create_reader(topics.servers, topics.rejected)
        try:
            await consumer.start()
            return await work(consumer)
        finally:
            await consumer.stop()

    with reading(topics, topic=topics.rejected, if_missing="nothing was refused"):
        return asyncio.run(run())


def scan(selection: Selection, *, newest: int = 0) -> Scan:
    """Pass over the topic once; `newest` is the number of selected records to keep whole."""

    async def work(consumer: AIOKafkaConsumer) -> Scan:
        result = Scan({}, {}, {}, {}, [])
        newest_by_partition: dict[int, deque[RejectedRecord]] = {}
        shared: dict[Rejection, Rejection] = {}
        with progress_bar("reading") as on_progress:
            async for record in read_records(consumer, selection.filters.since_us, on_progress):
                id_, event = record
                result.outcomes.update(decode_outcomes(event))
                if event.stage == RejectionStage.REPLAY or not selection.filters.select(event):
                    continue
                rejection = Rejection(source_of(event), event.stage, event.code)
                # Millions of events may have the same rejection: one value serves them all.
                result.rejections[id_] = shared.setdefault(rejection, rejection)
                result.received_us[id_] = event.received_us
                if reason := why_not_replayable(event):
                    result.not_replayable[id_] = reason
                newest_by_partition.setdefault(id_.partition, deque(maxlen=newest)).append(record)
        records = [record for partition in newest_by_partition.values() for record in partition]
        result.newest.extend(sorted(records, key=lambda record: -record.event.received_us)[:newest])
        return result

    return with_consumer(selection.topics, work)


def why_not_replayable(event: Rejected) -> str:
    """Why a rejected event cannot be sent again; "" if it can."""
    if event.stage == RejectionStage.CONSENT or not event.payload:
        return "without consent: nothing of it was kept"
    if event.stage == RejectionStage.STAGER:
        return ""
    if not event.envelope.path:
        return "its request was not kept: a test, or refused by a version before this"
    if event.code == "mixed_app_ids":
        return "of another app than its request: have that app send it"
    return ""


@contextmanager
def progress_bar(label: str) -> Iterator[OnProgress]:
    """A bar on standard error while the block runs, where that is a terminal; yields what moves the bar."""
    console = stderr_console()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
