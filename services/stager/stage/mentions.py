"""The ids that new events mention, and the links and rulings among these ids. Pure."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from throughline.journey.identity import RULINGS, links_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store.digest import id_digest
from throughline.store.identity import RulingRow

LinkKey = tuple[bytes, bytes, int]
"""(digest of the id, digest of its owner, IDENTIFY or ALIAS)."""
Place = tuple[int, int, str]
"""(occurred_us, place, message id) of the event that linked two ids: links count in this order."""


Events = Mapping[bytes, Sequence[Touchpoint]]
"""Actor digest -> events of that actor, at least one."""


class IdRequest(NamedTuple):
    """An id to lock."""

    workspace: int
    digest: bytes
    name: str = ""
    """The raw id. Not needed for an id that is stored already."""
    is_user: bool = False
    """Whether an event has the id as its user id."""


class Mentions:
    """What the new events of a batch say of ids."""

    def __init__(self) -> None:
        self.ids: dict[bytes, IdRequest] = {}
        """Every id that the events name, by digest."""
        self.links: dict[LinkKey, Place] = {}
        """Link -> the earliest event that made it."""
        self.rulings: dict[tuple[bytes, bytes], RulingRow] = {}
        """(digest of an id, digest of its owner) -> the latest ruling on them."""
        self._digests: dict[tuple[int, str], bytes] = {}

    def add(self, actor: bytes, touchpoints: Sequence[Touchpoint]) -> None:
        """Add the new events of one actor, given by digest; at least one."""
        self._digests[touchpoints[0].workspace, touchpoints[0].actor] = actor
        last_user = ""
        for t in touchpoints:
            workspace, user, anonymous, previous = t.workspace, t.user_id, t.anonymous_id, t.previous_id
            if t.call in RULINGS:
                self._add_ruling(t)
                continue
            if user and user == last_user and not anonymous and not previous:
                continue  # it says what the last one has said
            if not user:
                self._request(workspace, anonymous or t.actor, False)
                continue
            owner = self._request(workspace, user, True)
            last_user = user
            if t.actor != user:
                self._request(workspace, t.actor, False)
            if not anonymous and not previous:
                continue
            place = (t.occurred_us, t.place, t.message_id)
            for link in links_of(t.call, *place, user, anonymous, previous):
                key = (self._request(workspace, link.id, False), owner, link.by)
                earliest = self.links.get(key)
                if earliest is None or place < earliest:
                    self.links[key] = place

    def _add_ruling(self, t: Touchpoint) -> None:
        pair = (
            self._request(t.workspace, t.previous_id, False),
            self._request(t.workspace, t.user_id, False),
        )
        ruling = RulingRow(*pair, t.occurred_us, t.message_id, t.call == "unlink")
        latest = self.rulings.get(pair)
        if latest is None or (latest.occurred_us, latest.message_id) < (ruling.occurred_us, ruling.message_id):
            self.rulings[pair] = ruling

    def _request(self, workspace: int, name: str, is_user: bool) -> bytes:
        """Note that an id is to be locked; returns its digest."""
        digest = self._digests.get((workspace, name))
        if digest is None:
            digest = self._digests[workspace, name] = id_digest(workspace, name)
        request = self.ids.get(digest)
        if request is None or (is_user and not request.is_user):
            self.ids[digest] = IdRequest(workspace, digest, name, is_user)
        return digest


def mentions_of(events: Events) -> Mentions:
    """Returns what events say of ids."""
    mentions = Mentions()
    for actor, touchpoints in events.items():
        mentions.add(actor, touchpoints)
    return mentions
