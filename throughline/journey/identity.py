"""Who is who: links between ids, in the order they happened, to one owner per id.

All links sorted by (occurred_us, message_id): each id gets one owner, by its first link that is not void. A link is
void when an operator has unlinked the pair, when it would close a ring, or when it was inferred from an event that
carried both ids and its id is itself a user id: two users join by alias only. So a shared device never glues two users.
"""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

IDENTIFY, ALIAS = 1, 2
"""How a link came about: one event carried both ids, or an alias said so."""


class Link(NamedTuple):
    """`id` belongs to `owner`. Sorts in the order in which links count."""

    occurred_us: int
    message_id: str
    id: str
    owner: str
    by: int


class Ruling(NamedTuple):
    """What an operator said of a pair: void until a later ruling says otherwise."""

    occurred_us: int
    message_id: str
    id: str
    owner: str
    void: bool


def links_of(call: str, occurred_us: int, message_id: str, user: str, anonymous: str, previous: str) -> list[Link]:
    """What an event links. An id to itself is no link."""
    found = []
    if call == "alias" and previous and user and previous != user:
        found.append(Link(occurred_us, message_id, previous, user, ALIAS))
    if call not in RULINGS and anonymous and user and anonymous != user:
        found.append(Link(occurred_us, message_id, anonymous, user, IDENTIFY))
    return found


RULINGS = ("unlink", "relink")
"""The calls of an operator's touchpoint: `previous_id` is the id, `user_id` the owner it leaves or goes back to."""


def owners_of(links: Iterable[Link], users: Set[str], void: Set[tuple[str, str]]) -> dict[str, Link]:
    """The link by which each id has its owner; an id without one is a customer of its own.

    Args:
        links: of some ids, all of theirs and of every id they may lead to.
        users: the user ids among them.
        void: the pairs (id, owner) that an operator has unlinked.
    """
    owners: dict[str, Link] = {}
    for link in sorted(links):
        if link.id in owners or (link.id, link.owner) in void or (link.by == IDENTIFY and link.id in users):
            continue
        if root_of(link.owner, owners) != link.id:
            owners[link.id] = link
    return owners


def root_of(id: str, owners: Mapping[str, Link]) -> str:
    """The customer an id belongs to: the end of its links."""
    while id in owners:
        id = owners[id].owner
    return id
