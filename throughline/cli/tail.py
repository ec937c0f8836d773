"""`throughline tail`: what arrives and what became of it, for whoever wires up an SDK."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from throughline.cli.common.database import in_database
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.options import DataOption, EventsOfWorkspaceOption
from throughline.cli.common.output import fail, printable, say
from throughline.cli.common.topics import Topics, choose_topics, reading
from throughline.kit.clock import rfc3339
from throughline.kit.kafka import create_reader
from throughline.kit.stages import RejectionStage
from throughline.store.access.sources import list_sources
from throughline.wire.codec import UndecodableError, decode, decode_rejected

RECORDS_BACK = 2_000
"""Number of records of each partition in which the last events of a source are searched."""
POLL_MS = 300
SHOWN_PAYLOAD_CHARACTERS = 200

EventLine = dict[str, str | list[str]]
"""One event by the names that `--json` prints."""


def tail(
    source: Annotated[str | None, typer.Argument(help="Name of the source; all of them without it.")] = None,
    workspace: EventsOfWorkspaceOption = None,
    last: Annotated[
        int,
        typer.Option(
            "--last",
            "-n",
            min=0,
            max=1000,
            help="How many that have come, of the last 2,000 records of each partition.",
        ),
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow/--no-follow", help="Go on with what comes, until Ctrl-C.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object a line, for scripts.")] = False,
    data: DataOption = None,
) -> None:
    """Show the last events of a source and those that come: ok, with warnings, or rejected and why.

    Read from Kafka, beside the stagers and in nobody's way.
    """
    listed = in_database(lambda c: list_sources(c, workspace), data)
    names = {each.id: each.name for each in listed if source in (None, each.name)}
    if not names:
        choices = ", ".join(sorted({each.name for each in listed})) or "none yet"
        fail(f"no source {source!r}; there are: {choices}" if source is not None else "there is no source yet")
    topics = choose_topics(data)

    def show(line: EventLine) -> None:
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _text(line))

    with reading(topics, topic=topics.touchpoints, if_missing="nothing has been sent"):
        asyncio.run(_tail(topics, names, last, follow, show))


async def _tail(
    topics: Topics, names: dict[int, str], last: int, follow: bool, show: Callable[[EventLine], None]
) -> None:
    consumer = create_reader(topics.servers, topics.touchpoints, topics.rejected)
    with interrupted() as ended:
        try:
            await consumer.start()
            partitions = sorted(consumer.assignment())
            if not partitions:
                raise UnknownTopicOrPartitionError
            ends = await consumer.end_offsets(partitions)
            if last:
                records = await _records_before(consumer, ends, ended)
                for line in _lines(records, topics, names)[-last:]:
                    show(line)
            for tp, end in ends.items():
                consumer.seek(tp, end)
            if follow and not ended.is_set():
                say("waiting for events; Ctrl-C ends this")
            while follow and not ended.is_set():
                polled = await consumer.getmany(timeout_ms=POLL_MS)
                for line in _lines((record for records in polled.values() for record in records), topics, names):
                    show(line)
        finally:
            await consumer.stop()


async def _records_before(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], ended: asyncio.Event
) -> list[ConsumerRecord]:
    """The last records of each partition before its end."""
    begins = await consumer.beginning_offsets(list(ends))
    unread = {tp for tp, end in ends.items() if end > begins[tp]}
    for tp, end in ends.items():
        consumer.seek(tp, max(begins[tp], end - RECORDS_BACK))
    records: list[ConsumerRecord] = []
    while unread and not ended.is_set():
        for tp, polled in (await consumer.getmany(*unread, timeout_ms=POLL_MS)).items():
            records += [record for record in polled if record.offset < ends[tp]]
        unread = {tp for tp in unread if await consumer.position(tp) < ends[tp]}
    return records


def _lines(records: Iterable[ConsumerRecord], topics: Topics, names: dict[int, str]) -> list[EventLine]:
    """The events of the named sources, in the order in which they were received."""
    lines = []
    for record in records:
        payload = record.value or b""
        to_line = _rejected_line if record.topic == topics.rejected else _touchpoint_line
        try:
            line = to_line(payload, names)
        except UndecodableError:
            continue  # no event of any source; stager counts the record and keeps it
        if line["source"]:
            lines.append(line)
    return sorted(lines, key=lambda line: str(line["received_at"]))


def _touchpoint_line(payload: bytes, names: dict[int, str]) -> EventLine:
    touchpoint = decode(payload)
    return {
        "received_at": rfc3339(touchpoint.received_us),
        "occurred_at": rfc3339(touchpoint.occurred_us),
        "source": names.get(touchpoint.source, ""),
        "verdict": "warning" if touchpoint.warnings else "ok",
        "call": touchpoint.call,
        "name": touchpoint.name,
        "actor": touchpoint.actor,
        "message_id": touchpoint.message_id,
        "channel": touchpoint.channel,
        "warnings": list(touchpoint.warnings),
    }


def _rejected_line(payload: bytes, names: dict[int, str]) -> EventLine:
    rejected = decode_rejected(payload)
    return {
        "received_at": rfc3339(rejected.received_us),
        "source": names.get(rejected.source, ""),
        "verdict": "dropped" if rejected.stage == RejectionStage.CONSENT else "rejected",
        "stage": rejected.stage,
        "code": rejected.code,
        "field": rejected.field,
        "message": rejected.message,
        "name": rejected.name,
        "payload": rejected.payload.decode(errors="replace"),
    }


def _text(line: EventLine) -> str:
    """The line for people."""
    if line["verdict"] == "dropped":
        summary = f"{line['code']} {line['name']}".rstrip()
    elif line["verdict"] == "rejected":
        payload = f" | {line['payload'][:SHOWN_PAYLOAD_CHARACTERS]}" if line["payload"] else ""
        summary = f"{line['code']} {line['field']}".rstrip() + f": {line['message']}{payload}"
    else:
        warnings = f" ({', '.join(line['warnings'])})" if line["warnings"] else ""
        summary = f"{line['call']} {line['name']!r} of {line['actor']!r}, occurred {line['occurred_at']}{warnings}"
    return f"{line['received_at']}  {line['source']}  {line['verdict']:8}  {printable(summary)}"
