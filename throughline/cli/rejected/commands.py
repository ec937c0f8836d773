"""`throughline rejected`: refused events as the topic has them; `rejected_replay.py` sends them again."""

import base64
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from throughline.cli.access import AsJson, group
from throughline.cli.common.database import Data, in_database
from throughline.cli.common.log import choose_log
from throughline.cli.common.output import Value, fail, say, show_rows
from throughline.cli.rejected.replay import replay
from throughline.cli.rejected.scan import (
    Choice,
    Code,
    Look,
    Since,
    Source,
    Stage,
    Until,
    Workspace,
    choose,
    in_topic,
    look,
    progress,
)
from throughline.cli.rejected.topic import OK, Found, parse_id, read, read_one, show_id, source_of
from throughline.kit.clock import rfc3339
from throughline.store.access.sources import list_sources
from throughline.wire.codec import REPLAY, Rejected, UndecodableError, decode

rejected = group("Refused events: see what was refused and why, and send it again once the fault is mended.")

_COLUMNS = ("id", "received_at", "source", "stage", "code", "field", "request", "sent_again", "message")


@rejected.command("list")
def list_rejected(
    workspace: Workspace = None,
    source: Source = None,
    code: Code = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="How many to show, newest first.")] = 20,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show refused events, newest first, and how many there are of each source, stage and reason.

    Read from Kafka, which has all of them until the topic's retention ends. `sent_again` says what became of those that
    were replayed: ok, or why they were refused again.
    """
    choice = choose(workspace, source, code, stage, since, until, data)
    found = look(choice, newest=limit)
    items = [_row(record, choice, found) for record in found.last]
    counts: list[dict[str, Value]] = [
        {
            "source": choice.names.get(reason.source),
            "stage": reason.stage,
            "code": reason.code,
            "events": events,
            "taken_again": taken,
        }
        for reason, events, taken in found.counts()
    ]
    if as_json:
        typer.echo(json.dumps({"counts": counts, "items": items}, indent=2, ensure_ascii=False))
        return
    if items:
        show_rows([_plain(item) for item in items], columns=_COLUMNS, as_json=False, none="")
        typer.echo()
    columns = ("source", "stage", "code", "events", "taken_again")
    show_rows(counts, columns=columns, as_json=False, none="nothing was refused that these options name")


@rejected.command("show")
def show_rejected(
    which: Annotated[str, typer.Argument(metavar="PARTITION/OFFSET", help="The id that `list` shows.")],
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show one refused event whole: why it was refused, the request it came in, and what it says."""
    try:
        where = parse_id(which)
    except ValueError as error:
        fail(str(error), 2)
    names = {one.id: one.name for one in in_database(list_sources, data)}
    log = choose_log(data)
    found = in_topic(log, lambda consumer: read_one(consumer, where))
    if found is None or found.one.stage == REPLAY:
        fail(f"{log.rejected} holds no refused event {which}: it ends earlier, or its retention has ended")
    one = found.one
    head: dict[str, Any] = {
        "id": which,
        "received_at": rfc3339(one.received_us),
        "source": names.get(source_of(one)),
        **{name: getattr(one, name) for name in ("stage", "code", "field", "message", "name", "message_id")},
        **{name: getattr(one, name) for name in ("request", "origin", "replay_of")},
    }
    around = one.envelope
    if around.path:
        text = (around.before + around.after).decode(errors="replace")
        head |= {"sent_by_itself": f"POST {around.path}", "around_it": text}
    if as_json:
        typer.echo(json.dumps(head | {"event": _event(one)}, indent=2, ensure_ascii=False))
        return
    width = max(map(len, head))
    for name, value in head.items():
        if value:
            typer.echo(_printable(f"{name.replace('_', ' '):{width}}  {value}"))
    shown = _event(one)
    text = shown if isinstance(shown, str) else json.dumps(shown, indent=2, ensure_ascii=False)
    typer.echo("\n" + "\n".join(map(_printable, text.split("\n"))))


@rejected.command("export")
def export_rejected(
    file: Annotated[Path, typer.Argument(help="Where to: a new .jsonl file.")],
    workspace: Workspace = None,
    source: Source = None,
    code: Code = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    data: Data = None,
) -> None:
    """Write refused events to a file to be mended by hand, without those that were replayed and taken.

    One JSON object a line: id, received_at, source, stage, code, field, message, path (where such an event is sent) and
    event. Segment's can be sent with `throughline import` once they are mended: `jq -c .event FILE`.
    """
    choice = choose(workspace, source, code, stage, since, until, data)
    found = look(choice)
    left = {where for where in found.reasons if found.outcomes.get(where) != OK}
    try:
        with file.open("x") as out:

            async def write(consumer: Any) -> None:
                with progress("writing") as told:
                    async for record in read(consumer, choice.wanted.since_us, told):
                        if record.id in left:
                            out.write(json.dumps(_line(record, choice), ensure_ascii=False) + "\n")

            in_topic(choice.log, write)
    except FileExistsError:
        fail(f"{file} is there already; name another file", 2)
    except OSError as error:
        fail(f"{file}: {error.strerror or error}", 2)
    say(f"{len(left):,} events written to {file}")


rejected.command("replay")(replay)


def _row(record: Found, choice: Choice, found: Look) -> dict[str, Value]:
    one = record.one
    return {
        "id": show_id(record.id),
        "received_at": rfc3339(one.received_us),
        "source": choice.names.get(source_of(one)),
        **{name: getattr(one, name) for name in ("stage", "code", "field", "message", "name", "message_id", "request")},
        "sent_again": found.outcomes.get(record.id),
    }


def _line(record: Found, choice: Choice) -> dict[str, Any]:
    one = record.one
    return {
        "id": show_id(record.id),
        "received_at": rfc3339(one.received_us),
        "source": choice.names.get(source_of(one)),
        **{name: getattr(one, name) for name in ("stage", "code", "field", "message")},
        "path": one.envelope.path,
        "event": _event(one),
    }


def _event(one: Rejected) -> Any:
    """A refused event as JSON if it is that; else as text, or in base64 where it is none."""
    if one.stage == "stager":
        try:
            return decode(one.payload)._asdict()
        except UndecodableError:
            return base64.b64encode(one.payload).decode()
    try:
        text = one.payload.decode()
    except UnicodeDecodeError:
        return base64.b64encode(one.payload).decode()
    try:
        return json.loads(text, parse_constant=_no_number)
    except (ValueError, RecursionError):
        return text


def _no_number(name: str) -> float:
    raise ValueError(name)


def _plain(item: dict[str, Value]) -> dict[str, Value]:
    return {name: _printable(value) if isinstance(value, str) else value for name, value in item.items()}


def _printable(text: str) -> str:
    # Whoever sends events must not paint on this terminal.
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)
