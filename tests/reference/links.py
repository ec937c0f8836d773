"""Owners of ids, naively: all links sorted, and each id belongs to the first link that claims it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughline.journey.touchpoint import Touchpoint

BOTH_IDS, ALIAS = 1, 2
RULINGS = ("unlink", "relink")


class Link(NamedTuple):
    """`id` belongs to `owner`. Links take effect in the order of their fields."""

    occurred_us: int
    place: int
    message_id: str
    id: str
    owner: str
    by: int


def distinct(log: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The log without repeated events: the first touchpoint of each (actor, message id)."""
    seen: dict[tuple[int, str, str], Touchpoint] = {}
    for event in log:
        seen.setdefault((event.workspace, event.actor, event.message_id), event)
    return list(seen.values())


def links_of(event: Touchpoint) -> list[Link]:
    """The links in an event."""
    links: list[Link] = []
    if event.call in RULINGS or not event.user_id:
        return links
    if event.anonymous_id and event.anonymous_id != event.user_id:
        links.append(
            Link(event.occurred_us, event.place, event.message_id, event.anonymous_id, event.user_id, BOTH_IDS)
        )
    if event.call == "alias" and event.previous_id and event.previous_id != event.user_id:
        links.append(Link(event.occurred_us, event.place, event.message_id, event.previous_id, event.user_id, ALIAS))
    return links


def users_of(facts: Iterable[Touchpoint]) -> set[str]:
    """The ids that occur as a user id."""
    return {event.user_id for event in facts if event.user_id and event.call not in RULINGS}


def voided(facts: Iterable[Touchpoint]) -> set[tuple[str, str]]:
    """The pairs (id, owner) whose last ruling is "unlink"."""
    last: dict[tuple[str, str], str] = {}
    for event in sorted(event for event in facts if event.call in RULINGS):
        last[(event.previous_id, event.user_id)] = event.call
    return {pair for pair, call in last.items() if call == "unlink"}


def owners(facts: Sequence[Touchpoint]) -> dict[str, Link]:
    """Id -> the link that gives it its owner."""
    users, void = users_of(facts), voided(facts)
    owned: dict[str, Link] = {}
    for link in sorted(link for event in facts for link in links_of(event)):
        if (link.id, link.owner) in void:
            continue
        if link.by == BOTH_IDS and link.id in users:
            continue
        if link.id in owned:
            continue
        if root(link.owner, owned) == link.id:
            continue
        owned[link.id] = link
    return owned


def root(id_: str, owned: dict[str, Link]) -> str:
    """The customer to whom an id belongs."""
    while id_ in owned:
        id_ = owned[id_].owner
    return id_
