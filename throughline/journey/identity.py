"""Who is who: links between ids, in the order they happened, to one owner per id.

All links sorted by (occurred_us, place, message_id): each id gets one owner, by its first link that is not void. A
link is void when an operator has unlinked the pair, when it would close a ring, or when it comes from an event that
carried both ids and its id is a user id: an alias alone merges two users. So a shared device never merges its users.
"""

from collections.abc import Iterable, Mapping, Set
from typing import NamedTuple

IDENTIFY, ALIAS = 1, 2
"""How a link came about: one event carried both ids, or the event was an alias."""


class Link(NamedTuple):
    """`id` belongs to `owner`. Sorts in the order in which links count."""

    occurred_us: int
    place: int
    """Of the event in its request."""
    message_id: str
    id: str
    owner: str
    by: int


def links_of(
    call: str, occurred_us: int, place: int, message_id: str, user: str, anonymous: str, previous: str
) -> list[Link]:
    """Returns the links of an event. An id and itself are no link."""
    links = []
    if call == "alias" and previous and user and previous != user:
        links.append(Link(occurred_us, place, message_id, previous, user, ALIAS))
    if call not in RULINGS and anonymous and user and anonymous != user:
        links.append(Link(occurred_us, place, message_id, anonymous, user, IDENTIFY))
    return links


RULINGS = ("unlink", "relink")
"""The calls of an operator's ruling on a pair: `previous_id` is the id, `user_id` the owner that the id leaves or goes
back to. The last ruling on a pair counts."""


def owners_of(links: Iterable[Link], users: Set[str], void: Set[tuple[str, str]]) -> dict[str, Link]:
    """Returns the link by which each id has its owner; an id without a link is a customer of its own.

    Args:
        links: all links of some ids, and of every id that these links may lead to.
        users: the user ids among these.
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
    """Returns the customer that an id belongs to: the end of its chain of links."""
    while id in owners:
        id = owners[id].owner
    return id
