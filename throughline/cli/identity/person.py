"""`throughline identity erase | export`: a person's rights."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, NamedTuple
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.cli.common.database import administering, chosen_workspace, with_engine
from throughline.cli.common.options import DataOption, JsonOption, SureOption, WorkspaceUnlessSingleOption
from throughline.cli.common.output import Row, confirm, fail, say, show_instant, show_json, show_result, show_rows
from throughline.cli.common.status import Status
from throughline.cli.common.topics import Topics, choose_topics, producing, put_claim
from throughline.kit.clock import now_us
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.customer_identity import read_customer
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import reading
from throughline.store.erasures import Erasure, ErasureState, find_erasure, last_erasure_of
from throughline.store.exports import export_person
from throughline.wire.claims import ERASE, Claim
from throughline.wire.names import MAX_ID, clean_name, names_in

PATIENCE_SECONDS = 60.0
"""Time without any progress after which the command no longer waits."""
CHECK_SECONDS = 0.3

PersonArgument = Annotated[
    str, typer.Argument(metavar="ID", help="Any id of the person: a user id, an anonymous id. All others follow.")
]


class _Person(NamedTuple):
    workspace: int
    workspace_name: str
    id: str
    digest: bytes
    ids: int
    """Number of ids of the customer; 0 when no event has named the id."""


def erase(
    id_: PersonArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    once: Annotated[
        bool, typer.Option("--once", help="Erase what was received until now; later events count again.")
    ] = False,
    is_sure: SureOption = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until nothing is left, and prove it.")] = True,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Erase a person: all ids of the customer, and everything that is stored of them.

    The ids are suppressed: later events of them are dropped. With `--once` they may come back. What cannot be undone is
    asked for first. At the end every place is looked through, and what was counted there is printed.
    """
    name = _checked(id_)
    topics = choose_topics(data)

    async def work(engine: AsyncEngine) -> None:
        person = await _find(engine, name, workspace)
        async with reading(engine) as connection:
            last = await last_erasure_of(connection, person.workspace, person.digest)
        if not person.ids and not once and last is not None and not last.once:
            suppressed = f"{name!r} is suppressed already, and no event is stored of it"
            if not wait:
                show_result({"erasure": last.name, "state": str(last.state)}, suppressed, as_json=as_json)
                return
            say(suppressed)
            _show(await _until_done(engine, person, last.name), as_json)
            return
        _announce(person, once=once)
        confirm("Erase?", is_sure=is_sure, loss="this cannot be undone")
        claim = Claim(
            ERASE, person.workspace, f"erase-{uuid4().hex}", now_us(), (person.digest,), once=once, is_whole=False
        )
        # The log is no part of a transaction: the entry comes first, so that no erasure is without one.
        arguments = {"workspace": person.workspace_name, "id_digest": person.digest.hex(), "once": once}
        async with administering(engine, "identity erase", {**arguments, "erasure": claim.name}):
            pass
        await _put(topics, claim)
        if not wait:
            on_the_log = f"the erasure {claim.name} is on the log; a stager carries it out"
            show_result({"erasure": claim.name, "state": "on_the_log"}, on_the_log, as_json=as_json)
            return
        _show(await _until_done(engine, person, claim.name), as_json)

    with_engine(work, data)


def export(
    id_: PersonArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; without it standard output.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Write everything that is stored of a person as one JSON file."""
    name = _checked(id_)

    async def work(engine: AsyncEngine) -> None:
        person = await _find(engine, name, workspace)
        if not person.ids:
            raise AdminError(_unknown(person))
        arguments = {"workspace": person.workspace_name, "id_digest": person.digest.hex()}
        async with administering(engine, "identity export", arguments):
            pass
        parts = export_person(lambda: reading(engine), person.workspace, person.digest, names_in, now_us())
        if output is None:
            async for part in parts:
                typer.echo(part, nl=False)
            return
        try:
            with output.open("w", encoding="utf-8") as file:
                async for part in parts:
                    file.write(part)
        except OSError as error:
            fail(f"--output: {output} cannot be written ({error.strerror})")
        say(f"everything stored of {name!r} is in {output}")

    with_engine(work, data)


def _checked(id_: str) -> str:
    name = clean_name(id_)
    if not name or len(name) > MAX_ID or "\0" in name:
        fail(f"ID: an id has 1 to {MAX_ID} characters, got {id_[:60]!r}", Status.WRONG_USE)
    return name


async def _find(engine: AsyncEngine, name: str, workspace: str | None) -> _Person:
    async with reading(engine) as connection:
        workspace_name = await chosen_workspace(connection, workspace)
        number = await workspace_id(connection, workspace_name)
        digest = id_digest(number, name)
        ids = len(await read_customer(connection, digest))
    return _Person(number, workspace_name, name, digest, ids)


def _unknown(person: _Person) -> str:
    return (
        f"no event of workspace {person.workspace_name!r} has named the id {person.id!r} "
        "(ids are compared letter by letter)"
    )


def _announce(person: _Person, *, once: bool) -> None:
    what = "will be erased; later events count again" if once else "will be erased, and its ids suppressed"
    if person.ids:
        say(f"the customer of {person.id!r} in workspace {person.workspace_name!r}, with {person.ids} ids, {what}")
    else:
        say(f"{_unknown(person)}; {'nothing to erase' if once else 'it will be suppressed all the same'}")


async def _put(topics: Topics, claim: Claim) -> None:
    async with producing(topics) as producer:
        await put_claim(producer, topics, claim)


async def _until_done(engine: AsyncEngine, person: _Person, name: str) -> Erasure:
    """Wait for an erasure to end, and tell how far it has come; ends the command when nothing moves."""
    last: Erasure | None = None
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        async with reading(engine) as connection:
            erasure = await find_erasure(connection, person.workspace, name)
        if erasure is not None and erasure.state == ErasureState.DONE:
            return erasure
        if erasure != last and erasure is not None:
            say(f"{erasure.state}: {len(erasure.digests)} ids, {erasure.touchpoints} touchpoints erased")
            last, deadline = erasure, time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > deadline:
            fail(
                f"the erasure {name} is on the log, but no stager has gone on with it for {PATIENCE_SECONDS:.0f} s: "
                "does one run? It will be carried out when one does; do not repeat the command"
            )
        await asyncio.sleep(CHECK_SECONDS)


def _show(erasure: Erasure, as_json: bool) -> None:
    clear_at = show_instant(erasure.clear_us)
    if as_json:
        show_json(
            {
                "erasure": erasure.name,
                "state": erasure.state,
                "ids": len(erasure.digests),
                "touchpoints": erasure.touchpoints,
                "done_at": show_instant(erasure.done_us),
                "log_clear_at": clear_at,
                "proof": erasure.proof,
            }
        )
        return
    rows: list[Row] = [{"place": place, "rows": count} for place, count in erasure.proof.items()]
    show_rows(rows, columns=("place", "rows"), as_json=False, none="")
    say(f"done: {len(erasure.digests)} ids and {erasure.touchpoints} touchpoints are erased; no place holds any more")
    if clear_at is None:
        say("how long Kafka still holds what it was sent is set at your broker (LOG_RETENTION_HOURS=0)")
    else:
        say(f"Kafka holds nothing of it any more from {clear_at} on")
