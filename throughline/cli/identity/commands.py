"""`throughline identity show | unlink | relink`, and the group that `erase` and `export` belong to."""

import asyncio
import time
from pathlib import Path
from typing import Annotated, Literal, NamedTuple
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.cli.common.database import administering, chosen_workspace, in_database, with_engine
from throughline.cli.common.options import DataOption, JsonOption, WorkspaceUnlessSingleOption, command_group
from throughline.cli.common.output import Row, fail, show_instant, show_json, show_result, show_rows
from throughline.cli.common.topics import Topics, choose_topics, producing, put_touchpoint
from throughline.cli.identity.person import erase, export
from throughline.journey.identity import ALIAS
from throughline.kit.clock import now_us
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.customer_identity import CustomerIdentity, are_linked, read_customer_identity, read_ruling
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import reading
from throughline.store.identity_suspects import KEPT, Suspect, list_suspects
from throughline.wire.codec import Touchpoint

WAIT_SECONDS = 30.0
CHECK_SECONDS = 0.2

Call = Literal["unlink", "relink"]

identity = command_group("Ids: whose they are and why, how to part what is not one, and a person's rights.")
identity.command("erase")(erase)
identity.command("export")(export)

IdArgument = Annotated[
    str, typer.Argument(metavar="ID", help="A user id, an anonymous id, or any other an event was sent under.")
]
OwnerArgument = Annotated[str, typer.Argument(metavar="OWNER", help="The id it was linked to, as `show` lists it.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the customers are folded again.")]


class Pair(NamedTuple):
    """Two ids of a workspace: one, and the one that it was linked to."""

    workspace: int
    id: str
    owner: str

    @property
    def digests(self) -> tuple[bytes, bytes]:
        return id_digest(self.workspace, self.id), id_digest(self.workspace, self.owner)


@identity.command("show")
def show(
    id_: IdArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show the customer an id belongs to, all its ids, and every link and ruling about them."""

    async def read(connection: AsyncConnection) -> tuple[str, CustomerIdentity | None]:
        name = await chosen_workspace(connection, workspace)
        return name, await read_customer_identity(connection, await workspace_id(connection, name), id_)

    workspace_name, person = in_database(read, data)
    if person is None:
        fail(_unknown_id(id_, workspace_name))
    tables = {"ids": _id_rows(person), "links": _link_rows(person), "rulings": _ruling_rows(person)}
    if as_json:
        show_json({"customer": person.customer, **tables})
        return
    typer.echo(f"customer {person.customer}")
    for name, rows in tables.items():
        if rows:
            typer.echo(f"\n{name}")
            show_rows(rows, columns=rows[0], as_json=False, none="")


@identity.command("unlink")
def unlink(
    id_: IdArgument,
    owner: OwnerArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    wait: WaitOption = True,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Part an id from the one it was linked to: what it did is its own again. Later links of the pair are void too."""
    _rule("unlink", id_, owner, workspace, wait, as_json, data)


@identity.command("relink")
def relink(
    id_: IdArgument,
    owner: OwnerArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    wait: WaitOption = True,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Take an unlink back: the links of the pair count again."""
    _rule("relink", id_, owner, workspace, wait, as_json, data)


@identity.command("suspects")
def suspects(
    workspace: WorkspaceUnlessSingleOption = None,
    limit: Annotated[int, typer.Option(min=1, max=KEPT, help="Maximum number of ids.")] = 50,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """List ids with links that were not made, newest first: a user id for everybody, a device that many share."""

    async def read(connection: AsyncConnection) -> list[Suspect]:
        number = await workspace_id(connection, await chosen_workspace(connection, workspace))
        return await list_suspects(connection, number, None, limit)

    rows: list[Row] = [
        {
            "id": suspect.name,
            "limit": suspect.reason,
            "refused_links": suspect.refused,
            "first": show_instant(suspect.first_us),
            "last": show_instant(suspect.last_us),
        }
        for suspect in in_database(read, data)
    ]
    columns = ("id", "limit", "refused_links", "first", "last")
    show_rows(rows, columns=columns, as_json=as_json, none="no link was refused")


# --- showing ----------------------------------------------------------------------------------------------------------


def _id_rows(person: CustomerIdentity) -> list[Row]:
    return [
        {
            "id": row.name,
            "belongs_to": None if row.owner is None else person.names[row.owner],
            "by": None if row.link_by is None else _cause(row.link_by),
            "at": show_instant(row.link_us),
            "message_id": row.link_message,
        }
        for row in person.ids
    ]


def _link_rows(person: CustomerIdentity) -> list[Row]:
    counting = {(row.id, row.owner, row.link_us, row.link_place, row.link_message, row.link_by) for row in person.ids}
    return [
        {
            "id": person.names[link.id],
            "owner": person.names[link.owner],
            "by": _cause(link.by),
            "at": show_instant(link.occurred_us),
            "message_id": link.message_id,
            "counts": (link.id, link.owner, link.occurred_us, link.place, link.message_id, link.by) in counting,
        }
        for link in person.links
    ]


def _ruling_rows(person: CustomerIdentity) -> list[Row]:
    return [
        {
            "id": person.names[ruling.id],
            "owner": person.names[ruling.owner],
            "ruling": "unlink" if ruling.void else "relink",
            "at": show_instant(ruling.occurred_us),
            "message_id": ruling.message_id,
        }
        for ruling in person.rulings
    ]


def _cause(by: int) -> str:
    """What made a link."""
    return "alias" if by == ALIAS else "both ids in one event"


def _unknown_id(id_: str, workspace: str) -> str:
    return f"no event of workspace {workspace!r} has named the id {id_!r} (ids are compared letter by letter)"


# --- ruling -----------------------------------------------------------------------------------------------------------


def _rule(
    call: Call, id_: str, owner: str, workspace: str | None, wait: bool, as_json: bool, data: Path | None
) -> None:
    """Put a ruling on the log, unless the pair is as it says already; wait until a stager has applied it."""
    topics = choose_topics(data)

    def show(state: str, sentence: str) -> None:
        show_result({"ruling": call, "id": id_, "owner": owner, "state": state}, sentence, as_json=as_json)

    async def work(engine: AsyncEngine) -> None:
        async with reading(engine) as connection:
            workspace_name = await chosen_workspace(connection, workspace)
            pair = Pair(await workspace_id(connection, workspace_name), id_, owner)
            if not await _has_effect(connection, call, pair, workspace_name):
                parted = f"unlinked from {owner!r}"
                show("unchanged", f"{id_!r} is " + (f"not {parted}" if call == "relink" else "unlinked already"))
                return
        # The log is no part of a transaction: the entry comes first, so that no ruling is without one. Digests, because
        # the entry outlives an erasure of the person.
        digests = {"id_digest": pair.digests[0].hex(), "owner_digest": pair.digests[1].hex()}
        async with administering(engine, f"identity {call}", {"workspace": workspace_name, **digests}):
            pass
        ruling = await _put_ruling(topics, call, pair)
        if not wait:
            on_the_log = f"{call} of {id_!r} and {owner!r} is on the log; a stager applies it within a second or so"
            show("on_the_log", on_the_log)
            return
        if not await _until_applied(engine, pair, ruling):
            fail(
                f"{call} is on the log, but no stager has applied it within {WAIT_SECONDS:.0f} s: does one run? "
                "It will be applied when one does; do not repeat the command"
            )
        show("applied", f"done: {id_!r} and {owner!r} are " + ("parted" if call == "unlink" else "joined again"))

    with_engine(work, data)


async def _has_effect(connection: AsyncConnection, call: Call, pair: Pair, workspace_name: str) -> bool:
    """Whether the ruling would change how the pair stands.

    Raises:
        AdminError: the pair is one id, an id is unknown, or nothing has linked the pair.
    """
    if pair.id == pair.owner:
        raise AdminError("an id cannot be parted from itself; name the id and the one it was linked to")
    for name in (pair.id, pair.owner):
        if await read_customer_identity(connection, pair.workspace, name) is None:
            raise AdminError(_unknown_id(name, workspace_name))
    id_, owner = pair.digests
    if not await are_linked(connection, id_, owner):
        if await are_linked(connection, owner, id_):
            hint = f"; {pair.owner!r} is linked to {pair.id!r}: name them the other way round"
        else:
            hint = f"; `throughline identity show {pair.id}` lists its links"
        raise AdminError(f"nothing has linked {pair.id!r} to {pair.owner!r}{hint}")
    ruling = await read_ruling(connection, id_, owner)
    is_unlinked = ruling is not None and ruling.void
    return is_unlinked != (call == "unlink")


async def _put_ruling(topics: Topics, call: Call, pair: Pair) -> Touchpoint:
    instant_us = now_us()
    ruling = Touchpoint(
        instant_us,
        0,
        f"{call}-{uuid4().hex}",
        pair.owner,
        call,
        "",
        pair.workspace,
        user_id=pair.owner,
        previous_id=pair.id,
        received_us=instant_us,
    )
    async with producing(topics) as producer:
        await put_touchpoint(producer, topics, ruling)
    return ruling


async def _until_applied(engine: AsyncEngine, pair: Pair, ruling: Touchpoint) -> bool:
    """Wait for the pair's ruling in the database to be this one or a later one; False after `WAIT_SECONDS`."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        async with reading(engine) as connection:
            applied = await read_ruling(connection, *pair.digests)
        if applied is not None and (applied.occurred_us, applied.message_id) >= (
            ruling.occurred_us,
            ruling.message_id,
        ):
            return True
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(CHECK_SECONDS)
