"""`throughline tail`: what arrives and what became of it, for whoever wires up an SDK."""

import asyncio
import json
from collections.abc import Callable, Iterable
from typing import Annotated, Any

import typer
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError

from throughline.cli.common.database import Data, in_database
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.log import Log, choose_log
from throughline.cli.common.output import fail, say
from throughline.kit.clock import rfc3339
from throughline.kit.kafka import create_reader
from throughline.store.access.sources import list_sources
from throughline.store.rejected import CONSENT
from throughline.wire.codec import UndecodableError, decode, decode_rejected

LOOK_BACK = 2_000
"""Records of each partition in which the last events of a source are looked for."""
POLL_MS = 300

Line = dict[str, Any]


def tail(
    source: Annotated[str | None, typer.Argument(help="Name of the source; all of them without it.")] = None,
    workspace: Annotated[str | None, typer.Option("--workspace", help="Only events of this workspace.")] = None,
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
    data: Data = None,
) -> None:
    """Show the last events of a source and those that come: ok, with warnings, or rejected and why.

    Read from Kafka, beside the stagers and in nobody's way.
    """
    found = in_database(lambda c: list_sources(c, workspace), data)
    names = {one.id: one.name for one in found if source in (None, one.name)}
    if not names:
        known = ", ".join(sorted({one.name for one in found})) or "none yet"
        fail(f"no source {source!r}; there are: {known}" if source is not None else "there is no source yet")
    log = choose_log(data)

    def show(line: Line) -> None:
        typer.echo(json.dumps(line, ensure_ascii=False) if as_json else _plain(line))

    try:
        asyncio.run(_tail(log, names, last, follow, show))
    except UnknownTopicOrPartitionError:
        fail(f"Kafka at {log.kafka} has no topic {log.topic!r} yet: nothing has been sent")
    except (KafkaError, OSError) as error:
        fail(f"Kafka at {log.kafka} cannot be read ({error or type(error).__name__}); set KAFKA=host:port")


async def _tail(log: Log, names: dict[int, str], last: int, follow: bool, show: Callable[[Line], None]) -> None:
    consumer = create_reader(log.kafka, log.topic, log.rejected)
    with interrupted() as ended:
        try:
            await consumer.start()
            partitions = sorted(consumer.assignment())
            if not partitions:
                raise UnknownTopicOrPartitionError
            ends = await consumer.end_offsets(partitions)
            for line in (await _earlier(consumer, ends, log, names, ended))[-last:] if last else ():
                show(line)
            for tp, end in ends.items():
                consumer.seek(tp, end)
            if follow and not ended.is_set():
                say("waiting for events; Ctrl-C ends this")
            while follow and not ended.is_set():
                polled = await consumer.getmany(timeout_ms=POLL_MS)
                for line in _lines((record for records in polled.values() for record in records), log, names):
                    show(line)
        finally:
            await consumer.stop()


async def _earlier(
    consumer: AIOKafkaConsumer, ends: dict[TopicPartition, int], log: Log, names: dict[int, str], ended: asyncio.Event
) -> list[Line]:
    """What came before `ends`, oldest first."""
    begins = await consumer.beginning_offsets(list(ends))
    missing = {tp for tp, end in ends.items() if end > begins[tp]}
    for tp, end in ends.items():
        consumer.seek(tp, max(begins[tp], end - LOOK_BACK))
    records: list[Any] = []
    while missing and not ended.is_set():
        for tp, polled in (await consumer.getmany(*missing, timeout_ms=POLL_MS)).items():
            records += [record for record in polled if record.offset < ends[tp]]
        missing = {tp for tp in missing if await consumer.position(tp) < ends[tp]}
    return _lines(records, log, names)


def _lines(records: Iterable[Any], log: Log, names: dict[int, str]) -> list[Line]:
    """The records of these sources, oldest first."""
    found = []
    for record in records:
        try:
            line = _rejected(record.value or b"") if record.topic == log.rejected else _taken(record.value or b"")
        except UndecodableError:
            continue  # of no source; stager counts and keeps it
        if line["source"] in names:
            found.append(line | {"source": names[line["source"]]})
    return sorted(found, key=lambda line: str(line["received_at"]))


def _taken(value: bytes) -> Line:
    one = decode(value)
    return {
        "received_at": rfc3339(one.received_us),
        "occurred_at": rfc3339(one.occurred_us),
        "source": one.source,
        "verdict": "warning" if one.warnings else "ok",
        "call": one.call,
        "name": one.name,
        "actor": one.actor,
        "message_id": one.message_id,
        "channel": one.channel,
        "warnings": list(one.warnings),
    }


def _rejected(value: bytes) -> Line:
    one = decode_rejected(value)
    return {
        "received_at": rfc3339(one.received_us),
        "source": one.source,
        "verdict": "dropped" if one.stage == CONSENT else "rejected",
        "stage": one.stage,
        "code": one.code,
        "field": one.field,
        "message": one.message,
        "name": one.name,
        "payload": one.payload.decode(errors="replace"),
    }


def _plain(line: Line) -> str:
    if line["verdict"] == "dropped":
        what = f"{line['code']} {line['name']}".rstrip()
    elif line["verdict"] == "rejected":
        payload = f" | {line['payload'][:200]}" if line["payload"] else ""
        what = " ".join(filter(None, (line["code"], line["field"]))) + f": {line['message']}{payload}"
    else:
        notes = f" ({', '.join(line['warnings'])})" if line["warnings"] else ""
        what = f"{line['call']} {line['name']!r} of {line['actor']!r}, occurred {line['occurred_at']}{notes}"
    # Whoever sends events must not paint on this terminal.
    text = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in what)
    return f"{line['received_at']}  {line['source']}  {line['verdict']:8}  {text}"
