"""`throughline identity`: whose an id is and why, and an operator's word on it."""

import asyncio
import time
from typing import Annotated, Any
from uuid import uuid4

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.cli.common.database import Data, in_database, with_engine
from throughline.cli.common.log import Log, choose_log, write
from throughline.cli.common.output import Value, fail, instant, say, show_json, show_rows
from throughline.cli.models import InWorkspace, chosen_workspace
from throughline.journey.identity import ALIAS
from throughline.kit.clock import now_us
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.customer_identity import CustomerIdentity, are_linked, read_customer_identity, read_ruling
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import reading
from throughline.wire.codec import Touchpoint

WAIT_SECONDS = 30.0
LOOK_SECONDS = 0.2

identity = typer.Typer(
    add_completion=False, help="Ids: whose they are and why, and how to part what is not one.", no_args_is_help=True
)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="A user id, an anonymous id, or any other an event was sent under.")
]
Owner = Annotated[str, typer.Argument(metavar="OWNER", help="The id it was linked to, as `show` lists it.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until the customers are folded again.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


@identity.command("show")
def show(id_: Id, workspace: InWorkspace = None, as_json: AsJson = False, data: Data = None) -> None:
    """Show the customer an id belongs to, all its ids, and every link and ruling about them."""

    async def read(connection: AsyncConnection) -> tuple[str, CustomerIdentity | None]:
        where = await chosen_workspace(connection, workspace)
        return where, await read_customer_identity(connection, await workspace_id(connection, where), id_)

    where, person = in_database(read, data)
    if person is None:
        fail(_unknown(id_, where))
    parts = _parts(person)
    if as_json:
        show_json({"customer": person.customer, **parts})  # type: ignore[dict-item]
        return
    typer.echo(f"customer {person.customer}")
    columns = {
        "ids": ("id", "belongs_to", "by", "at", "message_id"),
        "links": ("id", "owner", "by", "at", "message_id", "counts"),
        "rulings": ("id", "owner", "ruling", "at", "message_id"),
    }
    for name, rows in parts.items():
        if rows:
            typer.echo(f"\n{name}")
            show_rows(rows, columns=columns[name], as_json=False, none="")


@identity.command("unlink")
def unlink(id_: Id, owner: Owner, workspace: InWorkspace = None, wait: Wait = True, data: Data = None) -> None:
    """Part an id from the one it was linked to: what it did is its own again. Later links of the pair are void too."""
    _rule("unlink", id_, owner, workspace, wait, data)


@identity.command("relink")
def relink(id_: Id, owner: Owner, workspace: InWorkspace = None, wait: Wait = True, data: Data = None) -> None:
    """Take an unlink back: the links of the pair count again."""
    _rule("relink", id_, owner, workspace, wait, data)


def _parts(person: CustomerIdentity) -> dict[str, list[dict[str, Value]]]:
    names = person.names
    winners = {(row.id, row.owner, row.link_us, row.link_message, row.link_by) for row in person.ids}
    return {
        "ids": [
            {
                "id": row.name,
                "belongs_to": None if row.owner is None else names[row.owner],
                "by": None if row.link_by is None else _kind(row.link_by),
                "at": instant(row.link_us),
                "message_id": row.link_message,
            }
            for row in person.ids
        ],
        "links": [
            {
                "id": names[link.id],
                "owner": names[link.owner],
                "by": _kind(link.by),
                "at": instant(link.occurred_us),
                "message_id": link.message_id,
                "counts": (link.id, link.owner, link.occurred_us, link.message_id, link.by) in winners,
            }
            for link in person.links
        ],
        "rulings": [
            {
                "id": names[said.id],
                "owner": names[said.owner],
                "ruling": "unlink" if said.void else "relink",
                "at": instant(said.occurred_us),
                "message_id": said.message_id,
            }
            for said in person.rulings
        ],
    }


def _kind(by: int) -> str:
    return "alias" if by == ALIAS else "both ids in one event"


def _unknown(id_: str, workspace: str) -> str:
    return f"no event of workspace {workspace!r} has named the id {id_!r} (ids are compared letter by letter)"


def _rule(call: str, id_: str, owner: str, workspace: str | None, wait: bool, data: Any) -> None:
    log = choose_log(data)

    async def work(engine: AsyncEngine) -> None:
        async with reading(engine) as connection:
            where = await chosen_workspace(connection, workspace)
            number = await workspace_id(connection, where)
            if not await _has_effect(connection, call, (id_, owner), where, number):
                say(f"{id_!r} is not unlinked from {owner!r}" if call == "relink" else f"{id_!r} is unlinked already")
                return
        await _say(engine, log, call, (id_, owner), number, wait)

    with_engine(work, data)


async def _has_effect(
    connection: AsyncConnection, call: str, pair: tuple[str, str], workspace: str, number: int
) -> bool:
    id_, owner = pair
    if id_ == owner:
        raise AdminError("an id cannot be parted from itself; name the id and the one it was linked to")
    for name in pair:
        if await read_customer_identity(connection, number, name) is None:
            raise AdminError(_unknown(name, workspace))
    digests = id_digest(number, id_), id_digest(number, owner)
    if not await are_linked(connection, *digests):
        backwards = await are_linked(connection, digests[1], digests[0])
        hint = f"; {owner!r} is linked to {id_!r}: name them the other way round" if backwards else ""
        raise AdminError(
            f"nothing has linked {id_!r} to {owner!r}{hint or f'; `throughline identity show {id_}` lists its links'}"
        )
    ruling = await read_ruling(connection, *digests)
    return (ruling is not None and ruling.void) != (call == "unlink")


async def _say(engine: AsyncEngine, log: Log, call: str, pair: tuple[str, str], number: int, wait: bool) -> None:
    id_, owner = pair
    now = now_us()
    said = Touchpoint(
        now, f"{call}-{uuid4().hex}", owner, call, "", number, user_id=owner, previous_id=id_, received_us=now
    )
    await write(log, said)
    if not wait:
        say(f"{call} of {id_!r} and {owner!r} is on the log; a stager applies it within a second or so")
        return
    deadline = time.monotonic() + WAIT_SECONDS
    digests = id_digest(number, id_), id_digest(number, owner)
    while True:
        async with reading(engine) as connection:
            ruling = await read_ruling(connection, *digests)
        if ruling is not None and (ruling.occurred_us, ruling.message_id) >= (now, said.message_id):
            say(f"done: {id_!r} and {owner!r} are " + ("parted" if call == "unlink" else "joined again"))
            return
        if time.monotonic() > deadline:
            fail(
                f"{call} is on the log, but no stager has applied it within {WAIT_SECONDS:.0f} s: does one run? "
                "It will be applied when one does; do not repeat the command"
            )
        await asyncio.sleep(LOOK_SECONDS)
