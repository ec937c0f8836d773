"""Who is who, naively: all links sorted, each id belongs to the first that claims it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from throughline.journey.touchpoint import Touchpoint

BOTH_IDS, ALIAS = 1, 2
RULINGS = ("unlink", "relink")


class Link(NamedTuple):
    """`id` belongs to `owner`; in the order in which links count."""

    occurred_us: int
    message_id: str
    id: str
    owner: str
    by: int


def distinct(log: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The facts of a log: the first event of each message id of an actor."""
    seen: dict[tuple[int, str, str], Touchpoint] = {}
    for event in log:
        seen.setdefault((event.workspace, event.actor, event.message_id), event)
    return list(seen.values())


def links_of(event: Touchpoint) -> list[Link]:
    """What an event says of who is who."""
    found: list[Link] = []
    if event.call in RULINGS or not event.user_id:
        return found
    if event.anonymous_id and event.anonymous_id != event.user_id:
        found.append(Link(event.occurred_us, event.message_id, event.anonymous_id, event.user_id, BOTH_IDS))
    if event.call == "alias" and event.previous_id and event.previous_id != event.user_id:
        found.append(Link(event.occurred_us, event.message_id, event.previous_id, event.user_id, ALIAS))
    return found


def users_of(facts: Iterable[Touchpoint]) -> set[str]:
    """The ids that were somebody's user id."""
    return {event.user_id for event in facts if event.user_id and event.call not in RULINGS}


def voided(facts: Iterable[Touchpoint]) -> set[tuple[str, str]]:
    """The pairs (id, owner) of which an operator's last word is "unlink"."""
    said: dict[tuple[str, str], str] = {}
    for event in sorted(event for event in facts if event.call in RULINGS):
        said[(event.previous_id, event.user_id)] = event.call
    return {pair for pair, word in said.items() if word == "unlink"}


def owners(facts: Sequence[Touchpoint]) -> dict[str, Link]:
    """The link by which each id has its owner."""
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
    """The customer an id belongs to."""
    while id_ in owned:
        id_ = owned[id_].owner
    return id_
