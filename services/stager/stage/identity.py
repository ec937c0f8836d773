"""Which customer each id of a batch belongs to: locks customers, and applies the links and rulings of new events.

The lock on a customer is the lock on the row of its root. The roots of all ids are locked in one pass, sorted, so that
two partitions that meet in one customer wait for each other instead of deadlocking.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from services.stager.stage.mentions import IdRequest, LinkKey, Mentions, Place
from throughline.journey.identity import ALIAS, IDENTIFY, Link, owners_of
from throughline.store import identity
from throughline.store.identity import IdRow, LinkRow, RulingRow
from throughline.store.identity_suspects import SuspectReason

MAX_CUSTOMER_IDS = 1_000
"""Maximum number of ids of a customer. A link that would join two customers to a larger one is not made."""
MAX_ID_LINKS = 1_000
"""Maximum number of links of an id, such as a device that many users share. Further ones are not made."""
MAX_LINKS_READ = 4_000
"""Maximum number of links that are read to resolve owners. Beyond it owners stay as they are."""


class Limits(NamedTuple):
    """Limits on identity."""

    customer_ids: int = MAX_CUSTOMER_IDS
    id_links: int = MAX_ID_LINKS
    links_read: int = MAX_LINKS_READ


_DEFAULT = Limits()


class Move(NamedTuple):
    """An id that went from one customer to another. All three are digests."""

    id: bytes
    from_customer: bytes
    to_customer: bytes


class RefusedLinks(NamedTuple):
    """Links of an id that were not made, and the limit that the last of them met."""

    number: int
    reason: SuspectReason


class IdentityGraph:
    """The ids that one transaction works with, whose customers it has locked.

    Args:
        connection: within the transaction.
        limits: on identity.
        stores_last: whether ids that are new are stored once it is known whose they are, each once instead of twice.
            Should another transaction store one meanwhile, this one ends with `ContendedError`; so it is for
            transactions of many aliases, beside which the process has no other.
    """

    def __init__(self, connection: AsyncConnection, limits: Limits = _DEFAULT, *, stores_last: bool = False) -> None:
        self._connection = connection
        self._limits = limits
        self._rows: dict[bytes, IdRow] = {}
        self._old_rows: dict[bytes, IdRow] = {}
        """Rows as they were before the transaction, of ids that have changed."""
        self._new_roots: dict[bytes, bytes] = {}
        """Digest of a customer that has joined another in this transaction -> digest of that one."""
        self._locked: set[bytes] = set()
        """Digests of rows that stay as they are until the transaction ends."""
        self._stores_last = stores_last
        self._new: set[bytes] = set()
        """Digests of ids that are stored last."""
        self.suspects: dict[bytes, RefusedLinks] = {}
        """Ids with links that were not made, by digest."""

    def row(self, digest: bytes) -> IdRow:
        """Returns the row of an id."""
        return self._rows[digest]

    def is_new(self, digest: bytes) -> bool:
        """Whether an id is known to have been new: nothing but the transaction's own events is of it."""
        return digest in self._new

    @property
    def new_members(self) -> int:
        """Number of ids that are stored last and belong to another one."""
        return sum(self._rows[digest].root != digest for digest in self._new)

    def customer_of(self, digest: bytes) -> bytes:
        """Returns the digest of the customer that an id belongs to now."""
        return _end(self._rows[digest].root, self._new_roots)

    async def apply(self, mentions: Mentions, named: Iterable[IdRequest] = ()) -> list[Move]:
        """Lock the ids of new events and apply the links and rulings among them.

        Args:
            mentions: what the events say of ids.
            named: further ids, which are stored and nothing else.

        Returns:
            the ids that belong to another customer now, without new ones: all that these bring are the events.
        """
        ids = {request.digest: request for request in named} | mentions.ids
        await self.lock(ids.values(), stores_last=self._stores_last)
        # An id that has turned out to be a user id is nobody's anonymous id.
        unresolved = {digest for digest in ids if (row := self._rows[digest]).is_user and row.link_by == IDENTIFY}
        unresolved |= await self._insert_rulings(sorted(mentions.rulings.values()))
        unresolved |= await self.insert_links(mentions.links)
        if unresolved:
            await self._resolve_owners(sorted(unresolved))
        await self._move_members()
        await self._write_changed_rows()
        return [
            Move(digest, old.root, self._rows[digest].root)
            for digest, old in self._old_rows.items()
            if old.root != self._rows[digest].root and digest not in self._new
        ]

    async def resolve(self, ids: Sequence[bytes]) -> None:
        """Find the owners and customers of locked ids anew, each of which stands by itself."""
        if ids:
            await self._resolve_owners(ids)
            await self._move_members()
            await self._write_changed_rows()

    async def lock(self, requests: Iterable[IdRequest], *, stores_last: bool = False) -> None:
        """Lock the customers of ids, whoever joins or parts them meanwhile; stores ids that are new, or notes them."""
        requested = {request.digest: request for request in requests}
        if not requested:
            return
        stored = await identity.read_ids(self._connection, map(itemgetter(0, 1), requested.values()))
        to_lock: dict[bytes, IdRequest] = {}
        for digest, request in requested.items():
            row = stored.get(digest)
            if row is None and stores_last:
                self._rows[digest] = IdRow.of_new(*request)
                self._new.add(digest)
                continue
            if row is None or (request.is_user and not row.is_user):
                to_lock[digest] = request
            if row is not None and row.root not in self._locked:
                to_lock.setdefault(row.root, requested.get(row.root) or IdRequest(row.workspace, row.root))
        self._locked |= self._new
        while to_lock:
            written = await identity.hold_ids(self._connection, sorted(to_lock.values()))
            self._locked |= to_lock.keys()
            # Read once they are locked: an id may have gone to another customer before its old one was.
            others = [
                (request.workspace, digest)
                for digest, request in (requested | to_lock).items()
                if digest not in written and digest not in self._new
            ]
            self._rows |= written
            if others:
                self._rows |= await identity.read_ids(self._connection, others)
            to_lock = {
                row.root: IdRequest(row.workspace, row.root)
                for digest in requested.keys() | to_lock.keys()
                if (row := self._rows[digest]).root not in self._locked
            }
        self._rows |= {digest: row for digest, row in stored.items() if digest not in self._rows}

    async def insert_links(self, links: Mapping[LinkKey, Place]) -> set[bytes]:
        """Store links, and set the owners that follow from them plainly.

        Returns:
            the ids whose owner depends on other links too.
        """
        candidates = [LinkRow(*key, *place) for key, place in links.items() if self._is_new(key, place)]
        new = self._within_limits(sorted(candidates, key=self._place_of))
        if not new:
            return set()
        first_links = {link.id for link in new if not self._rows[link.id].links}
        added = Counter(await identity.write_links(self._connection, sorted(new)))
        stored = sorted({link.id for link in new} - self._new)
        void = await identity.read_void(self._connection, stored) if stored else set()
        unresolved: set[bytes] = set()
        with_owner: set[bytes] = set()
        for link in new:
            row = self._rows[link.id]
            if _has_earlier_link(row, (link.occurred_us, link.place, link.message_id)):
                continue
            if link.id not in first_links or link.id in with_owner or self.customer_of(link.owner) == link.id:
                unresolved.add(link.id)
            elif (link.id, link.owner) not in void and not (link.by == IDENTIFY and row.is_user):
                with_owner.add(link.id)
                self._set_owner(link, added.pop(link.id, 0))
        for digest, number in added.items():
            row = self._rows[digest]
            self._set_row(row._replace(links=row.links + number))
        return unresolved

    def _place_of(self, link: LinkRow) -> tuple[int, int, str, str]:
        return link.occurred_us, link.place, link.message_id, self._rows[link.id].name

    def _is_new(self, key: LinkKey, place: Place) -> bool:
        """Whether a link may change anything: its id has another owner, or has this one by a later link."""
        id_, owner, by = key
        row = self._rows[id_]
        is_known = row.owner == owner and (_has_earlier_link(row, place) or _place_of_owner(row) == place)
        return not is_known or (row.link_by == IDENTIFY and by == ALIAS)

    def _within_limits(self, links: Iterable[LinkRow]) -> list[LinkRow]:
        """Returns the links, in order, that make no customer and no id larger than it may be; notes the others."""
        new: list[LinkRow] = []
        rows = self._rows
        roots: dict[bytes, bytes] = {}
        members: dict[bytes, int] = {}
        links_of: dict[bytes, int] = {}
        for link in links:
            root, owner_root = _end(rows[link.id].root, roots), _end(rows[link.owner].root, roots)
            count = links_of.get(link.id, rows[link.id].links)
            together = members.get(root, rows[root].members) + members.get(owner_root, rows[owner_root].members)
            if count >= self._limits.id_links:
                self._suspect(link.id, SuspectReason.ID_LINKS)
            elif root != owner_root and together > self._limits.customer_ids:
                self._suspect(link.owner, SuspectReason.CUSTOMER_IDS)
            else:
                new.append(link)
                links_of[link.id] = count + 1
                if root == link.id and root != owner_root:
                    roots[root] = owner_root
                    members[owner_root] = together
        return new

    def _suspect(self, digest: bytes, reason: SuspectReason) -> None:
        before = self.suspects.get(digest)
        self.suspects[digest] = RefusedLinks(1 if before is None else before.number + 1, reason)

    def _set_owner(self, link: LinkRow, added: int) -> None:
        """Give a root, with so many new links, the owner that `link` names: its customer joins the owner's."""
        row = self._rows[link.id]
        self._set_row(
            row._replace(
                links=row.links + added,
                owner=link.owner,
                link_us=link.occurred_us,
                link_place=link.place,
                link_message=link.message_id,
                link_by=link.by,
            )
        )
        self._new_roots[link.id] = self.customer_of(link.owner)

    async def _insert_rulings(self, rulings: Sequence[RulingRow]) -> set[bytes]:
        """Store rulings; returns the ids whose owner depends on them."""
        if rulings:
            await identity.write_rulings(self._connection, rulings)
        return {ruling.id for ruling in rulings}

    async def _resolve_owners(self, ids: Sequence[bytes]) -> None:
        """Find the owners of ids from all their links, and from all aliases of every id that these may lead to.

        Links lead to user ids. Of a user id only aliases count, because a link that an event with both ids made is
        void, so no other link can close a ring.
        """
        links: list[LinkRow] = []
        void: set[tuple[bytes, bytes]] = set()
        read: set[bytes] = set()
        to_read = {digest: self._rows[digest].workspace for digest in ids}
        from_kind = IDENTIFY
        while to_read:
            await self.lock([IdRequest(to_read[digest], digest) for digest in to_read.keys() - self._rows.keys()])
            digests = sorted(to_read)
            remaining = self._limits.links_read - len(links)
            rows = await identity.read_links(self._connection, digests, from_kind=from_kind, count=remaining + 1)
            if len(rows) > remaining:
                await self._resolve_in_halves(ids)
                return
            void |= await identity.read_void(self._connection, digests)
            read |= to_read.keys()
            links += rows
            to_read = {link.owner: self._rows[link.id].workspace for link in rows if link.owner not in read}
            from_kind = ALIAS
        for workspace in {self._rows[digest].workspace for digest in read}:
            of_workspace = {digest for digest in read if self._rows[digest].workspace == workspace}
            self._apply_owners(of_workspace, [link for link in links if link.id in of_workspace], void)

    async def _resolve_in_halves(self, ids: Sequence[bytes]) -> None:
        """Find the owners of ids with too many links together; an id with too many by itself stays as it is."""
        if len(ids) == 1:
            self._suspect(ids[0], SuspectReason.ID_LINKS)
            return
        middle = len(ids) // 2
        await self._resolve_owners(ids[:middle])
        await self._resolve_owners(ids[middle:])

    def _apply_owners(self, ids: set[bytes], links: list[LinkRow], void: set[tuple[bytes, bytes]]) -> None:
        """Set the owners of some ids of one workspace, given the links of these ids and the void pairs among them."""
        rows = self._rows
        digest_of = {rows[digest].name: digest for digest in ids}
        owners = owners_of(
            [
                Link(row.occurred_us, row.place, row.message_id, rows[row.id].name, rows[row.owner].name, row.by)
                for row in links
            ],
            {rows[digest].name for digest in ids if rows[digest].is_user},
            {(rows[id_].name, rows[owner].name) for id_, owner in void if id_ in ids and owner in ids},
        )
        for name, digest in digest_of.items():
            link = owners.get(name)
            owner = None if link is None else digest_of[link.owner]
            self._set_row(
                rows[digest]._replace(
                    owner=owner,
                    link_us=None if link is None else link.occurred_us,
                    link_place=None if link is None else link.place,
                    link_message=None if link is None else link.message_id,
                    link_by=None if link is None else link.by,
                )
            )

    async def _move_members(self) -> None:
        """Give every id its root anew whose owner, or the owner of an id above it, has changed."""
        changed = [row for digest, old in self._old_rows.items() if (row := self._rows[digest]).owner != old.owner]
        customers = {row.root for row in changed}
        several = [customer for customer in customers if self._rows[customer].members > 1]
        members = {row.id: row.root for row in changed}
        if several:
            for row in await identity.read_member_rows(self._connection, several):
                members[row.id] = row.root
                self._rows.setdefault(row.id, row)
        new_roots: dict[bytes, bytes] = {}
        gained: dict[bytes, int] = {}
        for digest, old_root in members.items():
            path = []
            end = digest
            while end in members and end not in new_roots and (owner := self._rows[end].owner) is not None:
                path.append(end)
                end = owner
            root = new_roots.get(end, end if self._rows[end].owner is None else self._rows[end].root)
            new_roots |= dict.fromkeys(path, root)
            if root != old_root:
                gained[root] = gained.get(root, 0) + 1
                gained[old_root] = gained.get(old_root, 0) - 1
        for digest, root in new_roots.items():
            self._set_row(self._rows[digest]._replace(root=root))
        for digest in members.keys() - new_roots.keys():
            self._set_row(self._rows[digest]._replace(root=digest))
        for digest, number in gained.items():
            row = self._rows[digest]
            was_root = members.get(digest, digest) == digest
            if row.owner is None:
                self._set_row(row._replace(members=number + (row.members if was_root else 0)))
        self._new_roots.clear()

    def _set_row(self, row: IdRow) -> None:
        old = self._rows[row.id]
        if row != old:
            self._old_rows.setdefault(row.id, old)
            self._rows[row.id] = row

    async def _write_changed_rows(self) -> None:
        changed = [
            row
            for digest, old in self._old_rows.items()
            if (row := self._rows[digest]) != old and digest not in self._new
        ]
        if changed:
            changed.sort()
            await identity.write_ids(self._connection, changed)
        if self._new:
            await identity.insert_ids(self._connection, sorted(self._rows[digest] for digest in self._new))


def _has_earlier_link(row: IdRow, place: Place) -> bool:
    """Whether an id has its owner by a link that counts before one at `place`."""
    at = _place_of_owner(row)
    return at is not None and at < place


def _place_of_owner(row: IdRow) -> Place | None:
    """Returns the place of the link by which an id has its owner."""
    if row.link_us is None or row.link_place is None or row.link_message is None:
        return None
    return row.link_us, row.link_place, row.link_message


def _end(root: bytes, roots: dict[bytes, bytes]) -> bytes:
    """Returns the end of the joins that lead on from a customer, and shortens the way there."""
    end = root
    while end in roots:
        end = roots[end]
    while root != end:
        roots[root], root = end, roots[root]
    return end
