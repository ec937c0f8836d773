"""Links that are not made: one request may join so many ids to one person, and some ids have as many as they may. Pure.

A client bug (one user id for everybody, a shared device) and an attack look alike: ever more ids of one person. Their
events count, each under its own id.
"""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

import msgspec

from services.ingest.event.verdict import Verdict, warning
from throughline.wire.codec import Touchpoint

MAX_REQUEST_LINKS = 100
"""Maximum number of ids that one request joins to one person. The number of persons has no limit but the request's."""
MAX_SHOWN = 100
"""Maximum number of characters of an id in a warning."""


class LimitedEvent(NamedTuple):
    """A touchpoint as it is kept, and the warning about its ids."""

    touchpoint: Touchpoint
    warning: Verdict


def limit_links(touchpoints: Sequence[Touchpoint], limit: int, suspects: Set[str]) -> Mapping[int, LimitedEvent]:
    """Returns, by their numbers, the touchpoints of a request that make no link, or may make none.

    Args:
        touchpoints: those that are kept of the request, in order.
        limit: maximum number of ids joined to one person.
        suspects: ids of the workspace that have as many ids or links as they may have.
    """
    limited: dict[int, LimitedEvent] = {}
    links = _links_of(touchpoints)
    refused = _refused(links, limit) if _most_joined(links) > limit else frozenset[_Link]()
    if not refused and not (suspects and links):
        return limited
    for number, touchpoint in enumerate(touchpoints):
        user, anonymous, previous = touchpoint.user_id, touchpoint.anonymous_id, touchpoint.previous_id
        if not user or not (anonymous or previous):
            continue
        fields = {
            field: sent
            for field, sent in (("anonymousId", anonymous), ("previousId", previous))
            if sent and sent != user and (field == "anonymousId" or touchpoint.call == "alias")
        }
        without = {field: sent for field, sent in fields.items() if (sent, user) in refused}
        if without:
            limited[number] = _without(touchpoint, without, limit)
        elif fields:
            suspect = next((field for field, sent in fields.items() if sent in suspects), "")
            if suspect or user in suspects:
                field, sent = suspect or "userId", fields.get(suspect, user)
                limited[number] = _warned(
                    touchpoint,
                    field,
                    f"{field} {_shown(sent)} has as many ids or links as an id may have: it is joined to no further "
                    f"one, and the event counts; give every person a {field} of its own",
                )
    return limited


_Link = tuple[str, str]
"""(id, the user id that it belongs to)."""


def _links_of(touchpoints: Sequence[Touchpoint]) -> dict[_Link, None]:
    """Returns the links among a request's events, each once, in order."""
    if not any(touchpoint.previous_id for touchpoint in touchpoints):
        return {(t.anonymous_id, t.user_id): None for t in touchpoints if t.anonymous_id and t.user_id}
    links: dict[_Link, None] = {}
    for touchpoint in touchpoints:
        user = touchpoint.user_id
        if not user:
            continue
        if touchpoint.anonymous_id:
            links[touchpoint.anonymous_id, user] = None
        if touchpoint.previous_id and touchpoint.call == "alias":
            links[touchpoint.previous_id, user] = None
    return links


def _most_joined(links: Mapping[_Link, None]) -> int:
    """Returns a number that no person's joined ids exceed, without looking for the persons: most requests have few.

    There are at least as many persons as there are more ids than links, and each has two ids or more.
    """
    ids = {id_ for link in links for id_ in link}
    persons = max(len(ids) - len(links), 1)
    return min(len(links), len(ids) - 2 * (persons - 1) - 1)


def _refused(links: Mapping[_Link, None], limit: int) -> frozenset[_Link]:
    """Returns the links, in order, that would join more than `limit` ids to one person."""
    parents: dict[str, str] = {}
    sizes: dict[str, int] = {}

    def person_of(id_: str) -> str:
        person = id_
        while person in parents:
            person = parents[person]
        while id_ != person:
            parents[id_], id_ = person, parents[id_]
        return person

    refused: list[_Link] = []
    for id_, owner in links:
        person, owning = person_of(id_), person_of(owner)
        if person == owning:
            continue
        together = sizes.get(person, 1) + sizes.get(owning, 1)
        if together > limit + 1:
            refused.append((id_, owner))
        else:
            parents[person] = owning
            sizes[owning] = together
    return frozenset(refused)


def _without(touchpoint: Touchpoint, refused: Mapping[str, str], limit: int) -> LimitedEvent:
    """Returns a touchpoint whose refused ids (by field) stand in its rest only, where they make no link."""
    members = ",".join(f'"{field}":{msgspec.json.encode(sent).decode()}' for field, sent in refused.items())
    rest = f"{touchpoint.rest[:-1]}{',' if len(touchpoint.rest) > len('{}') else ''}{members}}}"
    field, sent = next(iter(refused.items()))
    changed = touchpoint._replace(
        rest=rest,
        anonymous_id="" if "anonymousId" in refused else touchpoint.anonymous_id,
        previous_id="" if "previousId" in refused else touchpoint.previous_id,
    )
    return _warned(
        changed,
        field,
        f"{field} {_shown(sent)} is not joined to the user id {_shown(touchpoint.user_id)}, and the event counts: one "
        f"request joins {limit} ids to one person; give every person a user id of its own",
    )


def _warned(touchpoint: Touchpoint, field: str, message: str) -> LimitedEvent:
    verdict = warning("too_many_ids", field, message)
    return LimitedEvent(touchpoint._replace(warnings=(*touchpoint.warnings, verdict.code)), verdict)


def _shown(id_: str) -> str:
    return repr(id_ if len(id_) <= MAX_SHOWN else f"{id_[:MAX_SHOWN]}...")
