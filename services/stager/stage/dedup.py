"""Cross-id duplicates: a message id that several ids of one customer sent is one touchpoint, the earliest of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.customer import Members
from throughline.journey.fold import distinct
from throughline.journey.lapse import EVER
from throughline.journey.state import Journey
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts
from throughline.store.digest import message_digest

_NOBODY: Mapping[bytes, tuple[int, int]] = {}


async def deduplicated(
    connection: AsyncConnection, members: Members, state: Journey | None, touchpoints: Iterable[Touchpoint]
) -> list[Touchpoint]:
    """Returns the touchpoints to fold onto a state: later than the state, sorted, each message id once per customer.

    Args:
        connection: where the facts of the customer's other ids are looked up.
        members: all ids of the customer.
        state: None for the beginning; `touchpoints` is then all that the customer's ids did.
        touchpoints: unsorted, of any of the customer's ids.
    """
    if state is None:
        return distinct(touchpoints)
    place = state.last_key
    later = distinct(t for t in touchpoints if t.order_key > place)
    if len(members) < 2 or not later:
        return later
    (remaining,) = await drop_cross_id_duplicates(connection, [(members, later)])
    return remaining


async def drop_cross_id_duplicates(
    connection: AsyncConnection, customers: Sequence[tuple[Members, list[Touchpoint]]]
) -> list[list[Touchpoint]]:
    """Leave out touchpoints whose message id another id of the customer sent earlier.

    Args:
        connection: where the facts of the other ids are looked up.
        customers: all ids of each customer, and touchpoints of it: sorted, with distinct message ids.

    Returns:
        the remaining touchpoints of each customer.
    """
    duplicates = await _cross_id_duplicates(connection, customers)
    return [
        [t for t in touchpoints if all(sent > (t.occurred_us, t.place, t.actor) for sent in duplicates.get(id(t), ()))]
        for _, touchpoints in customers
    ]


async def last_cross_id_duplicates(
    connection: AsyncConnection, customers: Collection[tuple[Members, list[Touchpoint]]]
) -> list[int]:
    """Returns for each customer when another of its ids last sent one of these message ids; EVER when none did."""
    duplicates = await _cross_id_duplicates(connection, customers)
    return [
        max((occurred_us for t in touchpoints for occurred_us, _, _ in duplicates.get(id(t), ())), default=EVER)
        for _, touchpoints in customers
    ]


async def _cross_id_duplicates(
    connection: AsyncConnection, customers: Iterable[tuple[Members, list[Touchpoint]]]
) -> dict[int, list[tuple[int, int, str]]]:
    """Returns, by the `id()` of a touchpoint, the (occurred_us, place, id) of other ids that sent its message id."""
    pairs = list(customers)
    senders = await facts.read_senders(
        connection,
        (message_digest(t.message_id) for _, touchpoints in pairs for t in touchpoints),
        (digest for members, _ in pairs for digest in members),
    )
    duplicates: dict[int, list[tuple[int, int, str]]] = {}
    for members, touchpoints in pairs:
        for t in touchpoints:
            sent = senders.get(message_digest(t.message_id), _NOBODY)
            # The fewer are walked: a message id that everybody sends costs each customer its own ids only.
            others = sent if len(sent) < len(members) else members
            duplicates[id(t)] = [
                (*sent[digest], members[digest])
                for digest in others
                if digest in sent and digest in members and members[digest] != t.actor
            ]
    return duplicates
