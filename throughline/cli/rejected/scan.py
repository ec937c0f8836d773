"""What the commands about refused events have in common: what they are asked for, and one pass over the topic."""

import asyncio
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.common.database import in_database
from throughline.cli.common.log import Log, choose_log
from throughline.cli.common.output import fail
from throughline.cli.rejected.topic import Found, Id, Told, Wanted, outcomes_of, parse_instant, read, reader, source_of
from throughline.kit.clock import MIN_US, now_us
from throughline.store.access.keys import SourceKey, write_keys
from throughline.store.access.sources import SourceInfo, list_sources
from throughline.store.generations import read_generations
from throughline.wire.codec import REPLAY, Rejected

T = TypeVar("T")

Workspace = Annotated[str | None, typer.Option("--workspace", help="Only events of this workspace.")]
Source = Annotated[str | None, typer.Option("--source", help="Only events of the source of this name.")]
Code = Annotated[str | None, typer.Option("--code", help="Only those refused for this reason, such as missing_field.")]
Stage = Annotated[str | None, typer.Option("--stage", help="Only those refused by ingest, or by stager.")]
Since = Annotated[
    str | None, typer.Option("--since", help="Received since: 30m, 2h, 7d ago, or an ISO 8601 time.", metavar="WHEN")
]
Until = Annotated[str | None, typer.Option("--until", help="Received before: likewise.", metavar="WHEN")]


class Choice(NamedTuple):
    """What a command is about."""

    log: Log
    wanted: Wanted
    names: dict[int, str]
    """Source id -> name."""
    keys: list[SourceKey]
    retention_cutoffs: dict[int, int]
    """Workspace -> before what it keeps nothing."""


class Reason(NamedTuple):
    """What refused events are counted by."""

    source: int
    stage: str
    code: str


class Look(NamedTuple):
    """What one pass has found of the wanted records."""

    reasons: dict[Id, Reason]
    received: dict[Id, int]
    """Instants, in microseconds."""
    outcomes: dict[Id, str]
    """What became of those that were sent again."""
    hindered: dict[Id, str]
    """Why one cannot be sent again at all."""
    last: list[Found]
    """The newest ones, newest first."""

    def counts(self) -> list[tuple[Reason, int, int]]:
        """How many there are of each reason, and of these how many were sent again and taken; most frequent first."""
        taken = Counter(reason for where, reason in self.reasons.items() if self.outcomes.get(where) == "ok")
        events = Counter(self.reasons.values())
        return [(reason, number, taken[reason]) for reason, number in events.most_common()]


def choose(
    workspace: str | None,
    source: str | None,
    code: str | None,
    stage: str | None,
    since: str | None,
    until: str | None,
    data: Path | None,
) -> Choice:
    """What the options say; ends the command when they name nothing there is."""
    now = now_us()
    times: list[int | None] = []
    for option, text in (("--since", since), ("--until", until)):
        try:
            times.append(None if text is None else parse_instant(text, now))
        except ValueError as error:
            fail(f"{option}: {error}", 2)
    found, keys, retention_cutoffs = in_database(lambda c: _known(c, workspace, now), data)
    chosen = {one.id: one.name for one in found if source in (None, one.name)}
    if source is not None and not chosen:
        known = ", ".join(sorted({one.name for one in found})) or "none yet"
        fail(f"no source {source!r}; there are: {known}", 2)
    names = chosen if source or workspace else {one.id: one.name for one in found}
    sources = frozenset(chosen) if source or workspace else None
    return Choice(choose_log(data), Wanted(sources, stage, code, *times), names, keys, retention_cutoffs)


async def _known(
    connection: AsyncConnection, workspace: str | None, now: int
) -> tuple[list[SourceInfo], list[SourceKey], dict[int, int]]:
    retention_cutoffs = {
        number: MIN_US if one.retention_cutoff_us is None else one.retention_cutoff_us
        for number, one in (await read_generations(connection)).items()
    }
    return await list_sources(connection, workspace), await write_keys(connection, now_us=now), retention_cutoffs


def in_topic(log: Log, work: Callable[[Any], Awaitable[T]]) -> T:
    """Run `work` with a consumer of the topic; ends the command with a sentence when Kafka cannot be read."""

    async def run() -> T:
        consumer = reader(log)
        try:
            await consumer.start()
            return await work(consumer)
        finally:
            await consumer.stop()

    try:
        return asyncio.run(run())
    except UnknownTopicOrPartitionError:
        fail(f"Kafka at {log.kafka} has no topic {log.rejected!r} yet: nothing was refused")
    except (KafkaError, OSError) as error:
        fail(f"Kafka at {log.kafka} cannot be read ({error or type(error).__name__}); set KAFKA=host:port")


def look(choice: Choice, newest: int = 0) -> Look:
    """Pass over the topic once; `newest` is how many of the wanted records to keep whole."""

    async def work(consumer: Any) -> Look:
        found = Look({}, {}, {}, {}, [])
        last: dict[int, deque[Found]] = {}
        alike: dict[Reason, Reason] = {}
        with progress("reading") as told:
            async for record in read(consumer, choice.wanted.since_us, told):
                found.outcomes.update(outcomes_of(record.one))
                if record.one.stage != REPLAY and choice.wanted(record.one):
                    where, reason = record.id, Reason(source_of(record.one), record.one.stage, record.one.code)
                    # Millions may be alike.
                    found.reasons[where] = alike.setdefault(reason, reason)
                    found.received[where] = record.one.received_us
                    if why := hindrance(record.one):
                        found.hindered[where] = why
                    last.setdefault(record.partition, deque(maxlen=newest)).append(record)
        records = [record for ones in last.values() for record in ones]
        found.last.extend(sorted(records, key=lambda record: -record.one.received_us)[:newest])
        return found

    return in_topic(choice.log, work)


def hindrance(one: Rejected) -> str:
    """Why a refused event cannot be sent again, "" if it can."""
    if one.stage == "consent" or not one.payload:
        return "without consent: nothing of it was kept"
    if one.stage == "stager":
        return ""
    if not one.envelope.path:
        return "its request was not kept: a test, or refused by a version before this"
    if one.code == "mixed_app_ids":
        return "of another app than its request: have that app send it"
    return ""


@contextmanager
def progress(what: str) -> Iterator[Told]:
    """A bar on standard error, where that is a terminal, and what moves it."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bar(*columns, console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
