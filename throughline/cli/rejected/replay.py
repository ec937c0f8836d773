"""`throughline rejected replay`: refused events through the same doors again, once whatever was wrong is mended.

Each goes by itself, as at the instant it was first received and under the id it would have had: twice counts once.
What became of it is written to the topic, so that the next replay leaves it alone.
"""

import sys
from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from throughline.cli.common.database import Data
from throughline.cli.common.output import fail, say
from throughline.cli.common.target import TargetError, find_target
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
    look,
)
from throughline.cli.rejected.send import Doors, Sums, send_again
from throughline.cli.rejected.topic import OK, Id
from throughline.kit.settings import DatabaseSettings, load
from throughline.store.access.keys import key_digest

CONFIRM = 300
"""So many are sent without a question."""
_INTERRUPTED = 130


class Plan(NamedTuple):
    """Which of the records are sent, and why not the others."""

    ids: set[Id]
    already: int
    left_out: Counter[str]


def replay(
    workspace: Workspace = None,
    source: Source = None,
    code: Code = None,
    stage: Stage = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many, oldest first.")] = None,
    key: Annotated[
        str | None, typer.Option(help="A write key of the events' source. Default: that of the running stack.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of ingest. Default: that of the running stack.")] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were sent again before and refused again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: say what would be sent.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=f"Do not ask, however many there are ({CONFIRM}).")] = False,
    data: Data = None,
) -> None:
    """Send refused events again: through ingest with the same checks, or to the log where a stager refused a record.

    Each counts once, however often it is sent. Events of one source are sent with a key of that source; the others are
    left for a run with theirs. What was sent again is left alone by the next run; with --again, only if it was taken.
    The exit status is 1 if some were refused again.
    """
    choice = choose(workspace, source, code, stage, since, until, data)
    found = look(choice)
    if not found.reasons:
        say("nothing was refused that these options name")
        return
    doors = _doors(choice, found, data or load(DatabaseSettings).data, url, key, dry_run)
    plan = _plan(choice, found, doors, again, limit)
    _say_plan(choice, found, plan)
    if dry_run or not plan.ids:
        return
    if len(plan.ids) > CONFIRM and not yes:
        if not sys.stdin.isatty():
            fail(f"{len(plan.ids):,} events would be sent; --yes sends them", 2)
        typer.confirm(f"send {len(plan.ids):,} events?", abort=True)
    sums = send_again(choice, plan.ids, doors)
    _say_sums(sums)
    if sums.interrupted:
        say("stopped; the same command goes on from here")
        raise typer.Exit(_INTERRUPTED)
    if sums.stopped:
        fail(f"{sums.stopped}; the same command goes on from here")
    if sums.refused or sums.failed:
        raise typer.Exit(1)


def _doors(choice: Choice, found: Look, folder: Path, url: str | None, key: str | None, dry_run: bool) -> Doors:
    """Where events go, and whose the key is."""
    if all(reason.stage != "ingest" for reason in found.reasons.values()):
        return Doors(None, None)
    try:
        target = find_target(url, key, folder)
    except TargetError as error:
        if dry_run:
            return Doors(None, None)
        fail(f"events that ingest refused are sent to it with a key of their source: {error}", 2)
    digest = key_digest(target.write_key)
    source = next((one for one in choice.keys if one.digest == digest), None)
    if source is None:
        fail("--key: no source has this write key, or it has been revoked; make one with `throughline key create`", 2)
    if not source.enabled:
        fail(f"the source {source.source_name!r} is disabled; enable it first", 2)
    return Doors(target, source)


def _plan(choice: Choice, found: Look, doors: Doors, again: bool, limit: int | None) -> Plan:
    ids: list[Id] = []
    already = 0
    left_out: Counter[str] = Counter()
    for where, reason in found.reasons.items():
        outcome = found.outcomes.get(where)
        if where in found.hindered:
            left_out[found.hindered[where]] += 1
        elif outcome is not None and (outcome == OK or not again):
            already += 1
        elif reason.stage == "ingest" and doors.source is not None and reason.source != doors.source.source:
            left_out[f"of the source {choice.names.get(reason.source, reason.source)}: give --key of it"] += 1
        else:
            ids.append(where)
    if limit is not None and len(ids) > limit:
        ids.sort(key=lambda where: (found.received[where], where))
        left_out[f"beyond --limit {limit}"] = len(ids) - limit
        del ids[limit:]
    return Plan(set(ids), already, left_out)


def _say_plan(choice: Choice, found: Look, plan: Plan) -> None:
    for reason, events in Counter(found.reasons[where] for where in plan.ids).most_common():
        say(f"  {events:,} {choice.names.get(reason.source, '-')} {reason.stage} {reason.code}")
    for why, events in plan.left_out.most_common():
        say(f"  {events:,} left out, {why}")
    say(f"{len(plan.ids):,} events to send again; {plan.already:,} were sent before")


def _say_sums(sums: Sums) -> None:
    unsent = f"; {sums.failed:,} not sent, which no stager would take" if sums.failed else ""
    say(f"sent again: {sums.taken:,} taken, {sums.refused:,} refused again{unsent}")
    for why, events in sums.reasons.most_common():
        say(f"  {events:,} {why}")
