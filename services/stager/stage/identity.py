"""Whose the ids of a batch are: locks them, applies the links and rulings of its new facts.

Locks come in two sweeps, each sorted: first the ids that may belong to another (anonymous and previous ids), then user
ids and the owners found. So two partitions that meet in one customer wait for each other instead of deadlocking.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.identity import ALIAS, IDENTIFY, RULINGS, Link, links_of, owners_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store import identity
from throughline.store.digest import id_digest
from throughline.store.identity import IdRow, LinkRow, RulingRow


class Move(NamedTuple):
    """An id, with all that belong to it, went from one customer to another."""

    id: bytes
    before: bytes
    after: bytes


class People:
    """The ids that a transaction has locked: whose they were, whose they are."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._rows: dict[bytes, IdRow] = {}
        self._were: dict[bytes, IdRow] = {}
        """Rows as they were, of ids whose owner has changed."""

    def row(self, digest: bytes) -> IdRow:
        """A locked id."""
        return self._rows[digest]

    def customer(self, digest: bytes) -> bytes:
        """The customer that a locked id belongs to now."""
        while (owner := self._rows[digest].owner) is not None:
            digest = owner
        return digest

    async def meet(self, facts: Iterable[tuple[bytes, Touchpoint]]) -> list[Move]:
        """Lock the ids of new facts (actor digest, touchpoint) and let the facts link them.

        Returns:
            the ids whose customer changed by it.
        """
        asked: tuple[dict[bytes, tuple[int, bytes, str, bool]], ...] = ({}, {})
        pairs: dict[tuple[bytes, bytes, int], tuple[int, str]] = {}
        said: dict[tuple[bytes, bytes], RulingRow] = {}
        digests: dict[tuple[int, str], bytes] = {}

        def ask(level: int, workspace: int, name: str, is_user: bool) -> bytes:
            digest = digests.get((workspace, name))
            if digest is None:
                digest = digests[workspace, name] = id_digest(workspace, name)
            known = asked[level].get(digest)
            if known is None or (is_user and not known[3]):
                asked[level][digest] = (workspace, digest, name, is_user)
            return digest

        for actor, t in facts:
            workspace, user, anonymous, previous = t.workspace, t.user_id, t.anonymous_id, t.previous_id
            digests[workspace, t.actor] = actor
            if t.call in RULINGS:
                pair = (ask(0, workspace, previous, False), ask(1, workspace, user, False))
                ruling = RulingRow(*pair, t.occurred_us, t.message_id, t.call == "unlink")
                if pair not in said or said[pair][2:4] < ruling[2:4]:
                    said[pair] = ruling
                continue
            if not user:
                ask(0, workspace, anonymous or t.actor, False)
                continue
            owner = ask(1, workspace, user, True)
            if t.actor != user:
                ask(0, workspace, t.actor, False)
            if not anonymous and not previous:
                continue
            for link in links_of(t.call, t.occurred_us, t.message_id, user, anonymous, previous):
                key = (ask(0, workspace, link.id, False), owner, link.by)
                first = pairs.get(key)
                if first is None or (t.occurred_us, t.message_id) < first:
                    pairs[key] = (t.occurred_us, t.message_id)
        await self._lock(asked[0].values())
        await self._lock(
            row if digest not in asked[0] else (*row[:3], row[3] or asked[0][digest][3])
            for digest, row in asked[1].items()
            if digest not in asked[0] or row[3]
        )
        return await self._link(pairs, sorted(said.values()))

    async def hold(self, ids: Iterable[tuple[int, bytes, str]]) -> None:
        """Lock ids, given as (workspace, digest, id), and whom they belong to."""
        await self._lock((*row, False) for row in ids)

    async def _lock(self, asked: Iterable[tuple[int, bytes, str, bool]]) -> None:
        """Lock ids and their owners, on to the customers at the end of their chains."""
        wanted = sorted(asked)
        while wanted:
            found = await identity.lock_ids(self._connection, wanted)
            self._rows |= found
            owners = {(row.workspace, row.owner) for row in found.values() if row.owner is not None}
            wanted = sorted((w, owner, "", False) for w, owner in owners if owner not in self._rows)

    async def _link(self, pairs: dict[tuple[bytes, bytes, int], tuple[int, str]], said: list[RulingRow]) -> list[Move]:
        new: list[LinkRow] = []
        for (id_, owner, by), (occurred_us, message_id) in pairs.items():
            row = self._rows[id_]
            at = (occurred_us, message_id)
            known = row.owner == owner and (_precedes(row, at) or (row.link_us, row.link_message) == at)
            if not known or (row.link_by == IDENTIFY and by == ALIAS):
                new.append(LinkRow(id_, owner, by, occurred_us, message_id))
        # An id that has turned out to be a user's is nobody's anonymous id.
        unsettled = {d for d, row in self._rows.items() if row.is_user and row.link_by == IDENTIFY}
        if said:
            await identity.write_rulings(self._connection, said)
            unsettled |= {ruling.id for ruling in said}
        if new:
            unsettled |= await self._follow(sorted(new))
        if unsettled:
            await self._settle(unsettled)
        changed = [self._rows[digest] for digest in self._were]
        if changed:
            changed.sort(key=lambda row: (row.workspace, row.id))
            await identity.write_ids(self._connection, changed)
        moves = []
        for digest, was in self._were.items():
            if was.owner != self._rows[digest].owner:
                move = Move(digest, self._former(digest), self.customer(digest))
                if move.before != move.after:
                    moves.append(move)
        return moves

    async def _follow(self, new: list[LinkRow]) -> set[bytes]:
        """Keep new links and give the ids their owners where that is plain; the others are given back."""
        await identity.write_links(self._connection, new)
        void = await identity.read_void(self._connection, sorted({link.id for link in new}))
        unsettled: set[bytes] = set()
        plain: set[bytes] = set()
        for link in sorted(new, key=lambda link: (link.occurred_us, link.message_id, self._rows[link.id].name)):
            row = self._rows[link.id]
            at = (link.occurred_us, link.message_id)
            if _precedes(row, at):
                self._change(row._replace(linked=True))
            elif row.linked or link.id in plain or self.customer(link.owner) == link.id:
                unsettled.add(link.id)
            elif (link.id, link.owner) in void or (link.by == IDENTIFY and row.is_user):
                self._change(row._replace(linked=True))
            else:
                plain.add(link.id)
                self._own(row._replace(linked=True), link.owner, *at, link.by)
        for digest in unsettled:
            self._change(self._rows[digest]._replace(linked=True))
        return unsettled

    async def _settle(self, unsettled: set[bytes]) -> None:
        """Judge some ids anew: by all their links, and all those of every id that these may lead to."""
        links: dict[int, list[LinkRow]] = {}
        void: set[tuple[bytes, bytes]] = set()
        wanted = {(self._rows[digest].workspace, digest) for digest in unsettled}
        closed: set[tuple[int, bytes]] = set()
        while wanted:
            await self._lock((*who, "", False) for who in wanted if who[1] not in self._rows)
            digests = sorted(digest for _, digest in wanted)
            found = await identity.read_links(self._connection, digests)
            void |= await identity.read_void(self._connection, digests)
            closed |= wanted
            for link in found:
                links.setdefault(self._rows[link.id].workspace, []).append(link)
            wanted = {(self._rows[link.id].workspace, link.owner) for link in found} - closed
        for workspace in {workspace for workspace, _ in closed}:
            self._judge({d for w, d in closed if w == workspace}, links.get(workspace, []), void)

    def _judge(self, judged: set[bytes], links: list[LinkRow], void: set[tuple[bytes, bytes]]) -> None:
        rows = self._rows
        digest_of = {rows[digest].name: digest for digest in judged}
        owners = owners_of(
            [Link(row.occurred_us, row.message_id, rows[row.id].name, rows[row.owner].name, row.by) for row in links],
            {rows[digest].name for digest in judged if rows[digest].is_user},
            {(rows[id_].name, rows[owner].name) for id_, owner in void if id_ in judged and owner in judged},
        )
        for name, digest in digest_of.items():
            link = owners.get(name)
            if link is None:
                self._change(rows[digest]._replace(owner=None, link_us=None, link_message=None, link_by=None))
            else:
                self._own(rows[digest], digest_of[link.owner], link.occurred_us, link.message_id, link.by)

    def _own(self, row: IdRow, owner: bytes, occurred_us: int, message_id: str, by: int) -> None:
        self._change(row._replace(owner=owner, link_us=occurred_us, link_message=message_id, link_by=by))
        self._change(self._rows[owner]._replace(joined=True))

    def _change(self, row: IdRow) -> None:
        was = self._rows[row.id]
        if row != was:
            self._were.setdefault(row.id, was)
            self._rows[row.id] = row

    def _former(self, digest: bytes) -> bytes:
        """The customer that a locked id belonged to before."""
        while (owner := self._were.get(digest, self._rows[digest]).owner) is not None:
            digest = owner
        return digest


def _precedes(row: IdRow, at: tuple[int, str]) -> bool:
    """Whether the link by which an id has its owner counts before another of that time."""
    return row.link_us is not None and row.link_message is not None and (row.link_us, row.link_message) < at
