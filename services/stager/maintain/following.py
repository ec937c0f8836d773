"""The next touchpoints of a customer, in order, however many ids it has and however these share them."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.customer import END, Members
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.store import facts


class Following(NamedTuple):
    """Touchpoints that follow a place."""

    touchpoints: list[Touchpoint]
    """In order, none left out. Cross-id duplicates are among them."""
    is_end: bool
    """Whether there are no further ones."""


async def read_following(connection: AsyncConnection, members: Members, after: OrderKey, count: int) -> Following:
    """Read some of the touchpoints that follow a place: about `count`, at least one if there is one.

    First each id is asked for an equal part. What is read of all of them is whole up to the place where one of them may
    have more, so those that are furthest behind are asked again: at first one, then more and more of them.
    """
    read: list[Touchpoint] = []
    places = dict.fromkeys(members, after)
    """Id that may have more -> place up to which it is read."""
    behind = len(members)
    may_ask = True
    while True:
        part = count // behind + 2
        places_before = {
            digest: places[digest] for digest in sorted(places, key=lambda digest: places[digest])[:behind]
        }
        spans = [(digest, place, part) for digest, place in sorted(places_before.items())]
        next_of = await facts.read_following(connection, spans, members)
        crowded = []
        for digest, place in places_before.items():
            touchpoints = next_of.get(digest, [])
            if len(touchpoints) < part:
                del places[digest]
            else:
                # Of the last instant there may be more, before those that were read.
                last_us = touchpoints[-1].occurred_us
                touchpoints = [t for t in touchpoints if t.occurred_us < last_us]
                places[digest] = (last_us, 0, "", "")
                if last_us == place[0]:
                    crowded.append((digest, place, part))
            read += [t for t in touchpoints if t.order_key > place]
        if crowded:
            read += await _read_instants(connection, members, crowded, places)
        whole_until = min(places.values(), default=END)
        ready = [t for t in read if t.order_key <= whole_until]
        if not places or (ready and (not may_ask or 2 * len(ready) >= count)):
            return Following(sorted(ready), not places)
        behind = min(1 if len(places_before) == len(members) else 4 * behind, len(places))
        may_ask = behind < len(places)


async def _read_instants(
    connection: AsyncConnection,
    members: Members,
    crowded: Sequence[tuple[bytes, OrderKey, int]],
    places: dict[bytes, OrderKey],
) -> list[Touchpoint]:
    """Read on within an instant of which an id has more touchpoints than are read at once, and move the id's place."""
    next_of = await facts.read_following(connection, crowded, members, within_instant=True)
    read: list[Touchpoint] = []
    for digest, place, part in crowded:
        touchpoints = next_of.get(digest, [])
        read += [t for t in touchpoints if t.order_key > place]
        places[digest] = touchpoints[-1].order_key if len(touchpoints) == part else (place[0] + 1, 0, "", "")
    return read
