"""Twins: one message id that several ids of a customer have sent is one touchpoint, the earliest of them."""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.changes import Members
from throughline.journey.fold import distinct
from throughline.journey.lapse import EVER
from throughline.journey.state import Journey
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts
from throughline.store.digest import message_digest


async def counted(
    connection: AsyncConnection, members: Members, state: Journey | None, found: Iterable[Touchpoint]
) -> list[Touchpoint]:
    """Those that count after a state: later ones, sorted, each message id once under the whole customer."""
    if state is None:
        return distinct(found)
    key = state.last_key
    later = distinct(t for t in found if t[:3] > key)
    if len(members) < 2 or not later:
        return later
    return (await drop_twins(connection, [(members, later)]))[0]


async def drop_twins(
    connection: AsyncConnection, customers: Sequence[tuple[Members, list[Touchpoint]]]
) -> list[list[Touchpoint]]:
    """Leave out touchpoints whose message id another of the customer's ids has sent before.

    Args:
        connection: where to look.
        customers: of each, all its ids, and touchpoints that are sorted and have distinct message ids.
    """
    found = await _twins(connection, customers)
    return [
        [t for t in touchpoints if all((us, name) > (t.occurred_us, t.actor) for us, name in found.get(id(t), ()))]
        for _, touchpoints in customers
    ]


async def last_twins(connection: AsyncConnection, customers: Collection[tuple[Members, list[Touchpoint]]]) -> list[int]:
    """Of each customer, the latest instant at which another of its ids has sent one of these message ids, or EVER."""
    found = await _twins(connection, customers)
    return [
        max((us for t in touchpoints for us, _ in found.get(id(t), ())), default=EVER) for _, touchpoints in customers
    ]


async def _twins(
    connection: AsyncConnection, customers: Iterable[tuple[Members, list[Touchpoint]]]
) -> dict[int, list[tuple[int, str]]]:
    """By touchpoint (its `id`): when others of the customer's ids have sent its message id, and which."""
    asked: dict[bytes, tuple[bytes, str, list[Touchpoint]]] = {}
    for members, touchpoints in customers:
        for digest, name in members.items():
            for t in touchpoints:
                if name != t.actor:
                    asked.setdefault(message_digest(digest, t.message_id), (digest, name, []))[2].append(t)
    twins = await facts.read_existing(connection, sorted((digest, m) for m, (digest, _, _) in asked.items()))
    found: dict[int, list[tuple[int, str]]] = {}
    for message, occurred_us in twins.items():
        _, name, touchpoints = asked[message]
        for t in touchpoints:
            found.setdefault(id(t), []).append((occurred_us, name))
    return found
