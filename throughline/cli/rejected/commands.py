"""`throughline rejected list | show | export`, and the group that `replay` belongs to."""

import base64
import json
from pathlib import Path
from typing import Annotated

import typer
from aiokafka import AIOKafkaConsumer

from throughline.cli.common.database import in_database, log_act
from throughline.cli.common.options import DataOption, EventsOfWorkspaceOption, JsonOption, command_group
from throughline.cli.common.output import Row, fail, printable, show_json, show_result, show_rows
from throughline.cli.common.status import Status
from throughline.cli.common.topics import choose_topics
from throughline.cli.rejected.replay import replay
from throughline.cli.rejected.scan import (
    CodeOption,
    Scan,
    Selection,
    SinceOption,
    SourceOption,
    StageOption,
    UntilOption,
    progress_bar,
    scan,
    select,
    with_consumer,
)
from throughline.cli.rejected.topic import OK, RecordId, RejectedRecord, read_record, read_records, source_of
from throughline.kit.clock import rfc3339
from throughline.kit.stages import RejectionStage
from throughline.store.access.sources import list_sources
from throughline.wire.codec import Rejected, UndecodableError, decode

COLUMNS = ("id", "received_at", "source", "stage", "code", "field", "request", "sent_again", "message")

rejected = command_group("Refused events: see what was refused and why, and send it again once the fault is mended.")


@rejected.command("list")
def list_rejected(
    workspace: EventsOfWorkspaceOption = None,
    source: SourceOption = None,
    code: CodeOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many to show, newest first.")] = 20,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show refused events, newest first, and how many there are of each source, stage and reason.

    Read from Kafka, which has all of them until the topic's retention ends. `sent_again` says what became of those that
    were replayed: ok, or why they were refused again.
    """
    selection = select(workspace, source, code, stage, since, until, data)
    scanned = scan(selection, newest=limit)
    items = [_row(record, selection, scanned) for record in scanned.newest]
    counts: list[Row] = [
        {
            "source": selection.source_names.get(rejection.source),
            "stage": rejection.stage,
            "code": rejection.code,
            "events": events,
            "taken_again": accepted,
        }
        for rejection, events, accepted in scanned.counts()
    ]
    if as_json:
        show_json({"counts": counts, "items": items})
        return
    if items:
        show_rows([_printable_row(item) for item in items], columns=COLUMNS, as_json=False, none="")
        typer.echo()
    columns = ("source", "stage", "code", "events", "taken_again")
    show_rows(counts, columns=columns, as_json=False, none="nothing was refused that these options name")


@rejected.command("show")
def show_rejected(
    which: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="The id that `list` shows.")],
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show one refused event whole: why it was refused, the request it came in, and what it says."""
    try:
        id_ = RecordId.parse(which)
    except ValueError as error:
        fail(str(error), Status.WRONG_USE)
    source_names = {each.id: each.name for each in in_database(list_sources, data)}
    topics = choose_topics(data)
    record = with_consumer(topics, lambda consumer: read_record(consumer, id_))
    if record is None or record.event.stage == RejectionStage.REPLAY:
        fail(f"{topics.rejected} holds no refused event {which}: it ends earlier, or its retention has ended")
    event = record.event
    details: dict[str, object] = {
        "id": which,
        "received_at": rfc3339(event.received_us),
        "source": source_names.get(source_of(event)),
        **_fields(event, "stage", "code", "field", "message", "name", "message_id", "request", "origin", "replay_of"),
    }
    envelope = event.envelope
    if envelope.path:
        text = (envelope.before + envelope.after).decode(errors="replace")
        details |= {"sent_by_itself": f"POST {envelope.path}", "around_it": text}
    content = _content(event)
    if as_json:
        show_json(details | {"event": content})
        return
    width = max(map(len, details))
    for name, value in details.items():
        if value:
            typer.echo(printable(f"{name.replace('_', ' '):{width}}  {value}"))
    text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False)
    typer.echo("\n" + "\n".join(map(printable, text.split("\n"))))


@rejected.command("export")
def export_rejected(
    file: Annotated[Path, typer.Argument(help="Where to: a new .jsonl file.")],
    workspace: EventsOfWorkspaceOption = None,
    source: SourceOption = None,
    code: CodeOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Write refused events to a file to be mended by hand, without those that were replayed and taken.

    One JSON object a line: id, received_at, source, stage, code, field, message, path (where such an event is sent) and
    event. Segment's can be sent with `throughline import` once they are mended: `jq -c .event FILE`.
    """
    selection = select(workspace, source, code, stage, since, until, data)
    scanned = scan(selection)
    log_act("rejected export", data, {"workspace": workspace, "source": source, "code": code})
    exported = {id_ for id_ in scanned.rejections if scanned.outcomes.get(id_) != OK}
    try:
        with file.open("x") as out:

            async def write(consumer: AIOKafkaConsumer) -> None:
                with progress_bar("writing") as on_progress:
                    async for record in read_records(consumer, selection.filters.since_us, on_progress):
                        if record.id in exported:
                            out.write(json.dumps(_exported(record, selection), ensure_ascii=False) + "\n")

            with_consumer(selection.topics, write)
    except FileExistsError:
        fail(f"{file} is there already; name another file", Status.WRONG_USE)
    except OSError as error:
        fail(f"{file}: {error.strerror or error}", Status.WRONG_USE)
    show_result(
        {"file": str(file), "events": len(exported)}, f"{len(exported):,} events written to {file}", as_json=as_json
    )


rejected.command("replay")(replay)


def _row(record: RejectedRecord, selection: Selection, scanned: Scan) -> Row:
    event = record.event
    return {
        "id": str(record.id),
        "received_at": rfc3339(event.received_us),
        "source": selection.source_names.get(source_of(event)),
        **_fields(event, "stage", "code", "field", "message", "name", "message_id", "request"),
        "sent_again": scanned.outcomes.get(record.id),
    }


def _exported(record: RejectedRecord, selection: Selection) -> dict[str, object]:
    event = record.event
    return {
        "id": str(record.id),
        "received_at": rfc3339(event.received_us),
        "source": selection.source_names.get(source_of(event)),
        **_fields(event, "stage", "code", "field", "message"),
        "path": event.envelope.path,
        "event": _content(event),
    }


def _fields(event: Rejected, *names: str) -> dict[str, str]:
    return {name: getattr(event, name) for name in names}


def _content(event: Rejected) -> object:
    """The event as JSON if it is JSON; else as text, or in base64 where it is no text."""
    if event.stage == RejectionStage.STAGER:
        try:
            return decode(event.payload)._asdict()
        except UndecodableError:
            return base64.b64encode(event.payload).decode()
    try:
        text = event.payload.decode()
    except UnicodeDecodeError:
        return base64.b64encode(event.payload).decode()
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> float:
    """NaN and Infinity are no JSON."""
    raise ValueError(name)


def _printable_row(item: Row) -> Row:
    return {name: printable(value) if isinstance(value, str) else value for name, value in item.items()}
