"""Which customer each id of a batch belongs to: locks the ids, and applies the links and rulings of new events.

Ids are locked in two passes, each sorted: first those that may belong to another id (anonymous and previous ids), then
user ids and owners. So two partitions that meet in one customer wait for each other instead of deadlocking.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.mentions import IdRequest, LinkKey, Mentions, Place
from throughline.journey.identity import ALIAS, IDENTIFY, Link, owners_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store import identity
from throughline.store.identity import IdRow, LinkRow, RulingRow


class Move(NamedTuple):
    """An id that went from one customer to another, and all ids that belong to it. All three are digests."""

    id: bytes
    from_customer: bytes
    to_customer: bytes


class IdentityGraph:
    """The ids that one transaction has locked, and the customers they belonged to and belong to."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._rows: dict[bytes, IdRow] = {}
        self._old_rows: dict[bytes, IdRow] = {}
        """Rows as they were before the transaction, of ids that have changed."""

    def row(self, digest: bytes) -> IdRow:
        """Returns the row of a locked id."""
        return self._rows[digest]

    def customer_of(self, digest: bytes) -> bytes:
        """Returns the digest of the customer that a locked id belongs to now."""
        while (owner := self._rows[digest].owner) is not None:
            digest = owner
        return digest

    async def apply_events(self, events: Mapping[bytes, Iterable[Touchpoint]]) -> list[Move]:
        """Lock the ids of new events (actor digest -> events) and apply the links and rulings among them.

        Returns:
            the ids that belong to another customer now.
        """
        mentions = Mentions()
        for actor, touchpoints in events.items():
            mentions.add(actor, touchpoints)
        await self.lock(mentions.owned.values())
        await self.lock(mentions.owners_to_lock())
        # An id that has turned out to be a user id is nobody's anonymous id.
        unresolved = {digest for digest, row in self._rows.items() if row.is_user and row.link_by == IDENTIFY}
        unresolved |= await self._insert_rulings(sorted(mentions.rulings.values()))
        unresolved |= await self.insert_links(mentions.links)
        if unresolved:
            await self._resolve_owners(unresolved)
        await self._write_changed_rows()
        return self._moves()

    async def lock(self, requests: Iterable[IdRequest]) -> None:
        """Lock ids and their owners, on to the customers at the end of the links; creates ids that are new."""
        to_lock = sorted(requests)
        while to_lock:
            locked = await identity.lock_ids(self._connection, to_lock)
            self._rows |= locked
            owners = {(row.workspace, row.owner) for row in locked.values() if row.owner is not None}
            to_lock = sorted(IdRequest(workspace, owner) for workspace, owner in owners if owner not in self._rows)

    async def insert_links(self, links: Mapping[LinkKey, Place]) -> set[bytes]:
        """Store links of locked ids, and set the owners that follow from them plainly.

        Returns:
            the ids whose owner depends on other links too.
        """
        new = sorted(LinkRow(*key, *place) for key, place in links.items() if self._is_new(key, place))
        if not new:
            return set()
        await identity.write_links(self._connection, new)
        void = await identity.read_void(self._connection, sorted({link.id for link in new}))
        unresolved: set[bytes] = set()
        with_owner: set[bytes] = set()
        for link in sorted(new, key=lambda link: (link.occurred_us, link.message_id, self._rows[link.id].name)):
            row = self._rows[link.id]
            if _has_earlier_link(row, (link.occurred_us, link.message_id)):
                self._set_row(row._replace(linked=True))
            elif row.linked or link.id in with_owner or self.customer_of(link.owner) == link.id:
                unresolved.add(link.id)
            elif (link.id, link.owner) in void or (link.by == IDENTIFY and row.is_user):
                self._set_row(row._replace(linked=True))
            else:
                with_owner.add(link.id)
                self.set_owner(row._replace(linked=True), link)
        for digest in unresolved:
            self._set_row(self._rows[digest]._replace(linked=True))
        return unresolved

    def set_owner(self, row: IdRow, link: LinkRow) -> None:
        """Give a locked id the owner that `link` names."""
        self._set_row(
            row._replace(owner=link.owner, link_us=link.occurred_us, link_message=link.message_id, link_by=link.by)
        )
        self._set_row(self._rows[link.owner]._replace(joined=True))

    def _is_new(self, key: LinkKey, place: Place) -> bool:
        """Whether a link may change anything: its id has another owner, or has this one by a later link."""
        id_, owner, by = key
        row = self._rows[id_]
        is_known = row.owner == owner and (_has_earlier_link(row, place) or (row.link_us, row.link_message) == place)
        return not is_known or (row.link_by == IDENTIFY and by == ALIAS)

    async def _insert_rulings(self, rulings: Sequence[RulingRow]) -> set[bytes]:
        """Store rulings; returns the ids whose owner depends on them."""
        if rulings:
            await identity.write_rulings(self._connection, rulings)
        return {ruling.id for ruling in rulings}

    async def _resolve_owners(self, ids: set[bytes]) -> None:
        """Find the owners of ids from all their links, and from all links of every id that these may lead to."""
        links: dict[int, list[LinkRow]] = {}
        void: set[tuple[bytes, bytes]] = set()
        to_read = {(self._rows[digest].workspace, digest) for digest in ids}
        read: set[tuple[int, bytes]] = set()
        while to_read:
            await self.lock(IdRequest(*id_) for id_ in to_read if id_[1] not in self._rows)
            digests = sorted(digest for _, digest in to_read)
            rows = await identity.read_links(self._connection, digests)
            void |= await identity.read_void(self._connection, digests)
            read |= to_read
            for link in rows:
                links.setdefault(self._rows[link.id].workspace, []).append(link)
            to_read = {(self._rows[link.id].workspace, link.owner) for link in rows} - read
        for workspace in {workspace for workspace, _ in read}:
            digests_read = {digest for of, digest in read if of == workspace}
            self._apply_owners(digests_read, links.get(workspace, []), void)

    def _apply_owners(self, ids: set[bytes], links: list[LinkRow], void: set[tuple[bytes, bytes]]) -> None:
        """Set the owners of some ids of one workspace, given all links of these ids and the void pairs among them."""
        rows = self._rows
        digest_of = {rows[digest].name: digest for digest in ids}
        owners = owners_of(
            [Link(row.occurred_us, row.message_id, rows[row.id].name, rows[row.owner].name, row.by) for row in links],
            {rows[digest].name for digest in ids if rows[digest].is_user},
            {(rows[id_].name, rows[owner].name) for id_, owner in void if id_ in ids and owner in ids},
        )
        for name, digest in digest_of.items():
            link = owners.get(name)
            if link is None:
                self._set_row(rows[digest]._replace(owner=None, link_us=None, link_message=None, link_by=None))
            else:
                owner = digest_of[link.owner]
                self.set_owner(rows[digest], LinkRow(digest, owner, link.by, link.occurred_us, link.message_id))

    def _set_row(self, row: IdRow) -> None:
        old = self._rows[row.id]
        if row != old:
            self._old_rows.setdefault(row.id, old)
            self._rows[row.id] = row

    async def _write_changed_rows(self) -> None:
        changed = [self._rows[digest] for digest in self._old_rows]
        if changed:
            changed.sort(key=lambda row: (row.workspace, row.id))
            await identity.write_ids(self._connection, changed)

    def _moves(self) -> list[Move]:
        moves = []
        for digest, old in self._old_rows.items():
            if old.owner != self._rows[digest].owner:
                move = Move(digest, self._old_customer_of(digest), self.customer_of(digest))
                if move.from_customer != move.to_customer:
                    moves.append(move)
        return moves

    def _old_customer_of(self, digest: bytes) -> bytes:
        while (owner := self._old_rows.get(digest, self._rows[digest]).owner) is not None:
            digest = owner
        return digest


def _has_earlier_link(row: IdRow, place: Place) -> bool:
    """Whether an id has its owner by a link that counts before one at `place`."""
    return row.link_us is not None and row.link_message is not None and (row.link_us, row.link_message) < place
