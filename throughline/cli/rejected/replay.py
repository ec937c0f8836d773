"""`throughline rejected replay`: rejected events sent again, once the fault is mended.

Each event is judged as at the instant at which it was first received, under the id that it would have had, so that it
counts once however often it is sent. Its outcome is written to the topic, so that the next replay leaves it alone.
"""

from collections import Counter
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from throughline.cli.common.database import log_act
from throughline.cli.common.deliver import IngestAwayError
from throughline.cli.common.options import DataOption, EventsOfWorkspaceOption, JsonOption, UrlOption
from throughline.cli.common.output import confirm, fail, say, show_json, show_result
from throughline.cli.common.status import Status
from throughline.cli.common.target import TargetError, find_target
from throughline.cli.rejected.scan import (
    CodeOption,
    Scan,
    Selection,
    SinceOption,
    SourceOption,
    StageOption,
    UntilOption,
    scan,
    select,
)
from throughline.cli.rejected.send import Destinations, ReplayResult, send_again
from throughline.cli.rejected.topic import OK, RecordId
from throughline.kit.stages import RejectionStage
from throughline.store.access.keys import key_digest

CONFIRM_ABOVE = 300
"""Number of events that are sent without asking."""


class ReplayPlan(NamedTuple):
    """Which of the selected events are sent, and why the others are not."""

    ids: set[RecordId]
    replayed_before: int
    left_out: Counter[str]
    """Number of events by the reason for leaving them out."""


def replay(
    workspace: EventsOfWorkspaceOption = None,
    source: SourceOption = None,
    code: CodeOption = None,
    stage: StageOption = None,
    since: SinceOption = None,
    until: UntilOption = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=1, help="At most so many, oldest first.")] = None,
    key: Annotated[
        str | None, typer.Option(help="A write key of the events' source. Default: that of the running stack.")
    ] = None,
    url: UrlOption = None,
    again: Annotated[
        bool, typer.Option("--again", help="Also those that were sent again before and refused again.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Send nothing: say what would be sent.")] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help=f"Do not ask, however many there are ({CONFIRM_ABOVE}).")
    ] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Send refused events again: through ingest with the same checks, or to the log where a stager refused a record.

    Each counts once, however often it is sent. Events of one source are sent with a key of that source; the others are
    left for a run with theirs. What was sent again is left alone by the next run; with --again, only if it was taken.
    The exit status is 1 if some were refused again.
    """
    selection = select(workspace, source, code, stage, since, until, data)
    scanned = scan(selection)
    if not scanned.rejections:
        show_result(_facts(ReplayResult(), 0), "nothing was refused that these options name", as_json=as_json)
        return
    destinations = _destinations(selection, scanned, data, url, key, dry_run)
    plan = _plan(selection, scanned, destinations, again, limit)
    _announce(plan, selection, scanned)
    if dry_run or not plan.ids:
        if as_json:
            show_json(_facts(ReplayResult(), len(plan.ids)))
        return
    confirm("Send?", is_sure=yes or len(plan.ids) <= CONFIRM_ABOVE, loss=f"{len(plan.ids):,} events would be sent")
    log_act("rejected replay", data, {"workspace": workspace, "source": source, "code": code, "events": len(plan.ids)})
    result = send_again(selection, plan.ids, destinations)
    _summarize(result)
    if as_json:
        show_json(_facts(result, len(plan.ids)))
    if result.interrupted:
        say("stopped; the same command goes on from here")
        raise typer.Exit(Status.INTERRUPTED)
    if result.gave_up:
        status = Status.UNREACHABLE if isinstance(result.gave_up, IngestAwayError) else Status.CANNOT
        fail(f"{result.gave_up}; the same command goes on from here", status)
    if result.rejected or result.not_sent:
        raise typer.Exit(Status.CANNOT)


def _destinations(
    selection: Selection, scanned: Scan, data: Path | None, url: str | None, key: str | None, dry_run: bool
) -> Destinations:
    """Where the events go, and the source that the write key belongs to; ends the command when the key is of no use."""
    if all(rejection.stage != RejectionStage.INGEST for rejection in scanned.rejections.values()):
        return Destinations(None, None)
    try:
        target = find_target(url, key, data)
    except TargetError as error:
        if dry_run:
            return Destinations(None, None)
        fail(f"events that ingest refused are sent to it with a key of their source: {error}", Status.WRONG_USE)
    if not target.operator_secret:
        reason = "ingest takes replayed events with the operator's secret only"
        fail(f"{reason}; set OPERATOR_SECRET to ingest's", Status.WRONG_USE)
    digest = key_digest(target.write_key)
    source = next((each for each in selection.keys if each.digest == digest), None)
    if source is None:
        fail(
            "--key: no source has this write key, or it has been revoked; make one with `throughline key create`",
            Status.WRONG_USE,
        )
    if not source.enabled:
        fail(f"the source {source.source_name!r} is disabled; enable it first", Status.WRONG_USE)
    return Destinations(target, source)


def _plan(
    selection: Selection, scanned: Scan, destinations: Destinations, again: bool, limit: int | None
) -> ReplayPlan:
    ids: list[RecordId] = []
    replayed_before = 0
    left_out: Counter[str] = Counter()
    key_source = None if destinations.key is None else destinations.key.source
    for id_, rejection in scanned.rejections.items():
        outcome = scanned.outcomes.get(id_)
        if id_ in scanned.not_replayable:
            left_out[scanned.not_replayable[id_]] += 1
        elif outcome is not None and (outcome == OK or not again):
            replayed_before += 1
        elif rejection.stage == RejectionStage.INGEST and key_source is not None and rejection.source != key_source:
            name = selection.source_names.get(rejection.source, rejection.source)
            left_out[f"of the source {name}: give --key of it"] += 1
        else:
            ids.append(id_)
    if limit is not None and len(ids) > limit:
        ids.sort(key=lambda id_: (scanned.received_us[id_], id_))
        left_out[f"beyond --limit {limit}"] = len(ids) - limit
        del ids[limit:]
    return ReplayPlan(set(ids), replayed_before, left_out)


def _announce(plan: ReplayPlan, selection: Selection, scanned: Scan) -> None:
    for rejection, events in Counter(scanned.rejections[id_] for id_ in plan.ids).most_common():
        say(f"  {events:,} {selection.source_names.get(rejection.source, '-')} {rejection.stage} {rejection.code}")
    for reason, events in plan.left_out.most_common():
        say(f"  {events:,} left out, {reason}")
    say(f"{len(plan.ids):,} events to send again; {plan.replayed_before:,} were sent before")


def _facts(result: ReplayResult, selected: int) -> dict[str, object]:
    return {
        "selected": selected,
        "accepted": result.accepted,
        "rejected": result.rejected,
        "not_sent": result.not_sent,
        "reasons": dict(result.reasons),
    }


def _summarize(result: ReplayResult) -> None:
    not_sent = f"; {result.not_sent:,} not sent, which no stager would take" if result.not_sent else ""
    say(f"sent again: {result.accepted:,} taken, {result.rejected:,} refused again{not_sent}")
    for reason, events in result.reasons.most_common():
        say(f"  {events:,} {reason}")
