"""Erasing persons, a slice at a time: facts first, then what others' facts, rejected events and journeys say of them.

From the transaction on that stages an erasure, nothing of its ids is staged any more, so each slice leaves less. The
log alone says which ids an erasure has: once a stager has caught up with the log, it looks up all ids of the customers
that were named, and puts them on the log too. So a log that is staged again, from its beginning and in any order of
its partitions, ends with the same ids erased.
"""

import asyncio
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.context import SendClaims
from services.stager.stage.apply import apply_changes
from services.stager.stage.aside import LeftAside, leave_aside
from services.stager.stage.budget import Budget
from services.stager.stage.changes import ChangeSet
from services.stager.stage.claims import digests_in
from services.stager.stage.customer import BEGINNING, Customer, CustomerUpdate
from services.stager.stage.identity import IdentityGraph
from services.stager.stage.mentions import IdRequest, mentions_of
from services.stager.stage.models import ActiveModel, ModelsByWorkspace, ModelsChangedError, lock_models
from services.stager.stage.recompute import recompute
from throughline.journey.lapse import EVER, NEVER
from throughline.journey.touchpoint import Touchpoint
from throughline.store import counts, erasures, facts, identity, journeys, recomputations
from throughline.store.access.suppressions import FOR_EVER
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.erasures import Erasure, ErasureState
from throughline.store.identity import IdRow
from throughline.store.journeys import JourneyKey
from throughline.store.recomputations import Mark
from throughline.store.snapshots import delete_snapshots
from throughline.wire.claims import ERASE, MAX_DIGESTS, Claim

FACTS = 2_000
"""Maximum number of facts erased, and of others' facts changed, in a transaction."""
UNLINKED = 1_000
"""Maximum number of others whose crawlers' or test events name one of the ids."""
REJECTED = 50
"""Maximum number of rejected events looked through in a transaction."""
OPEN = 20
"""Maximum number of erasures looked at in a slice; one is worked on."""


async def erase(
    engine: AsyncEngine,
    models: ModelsByWorkspace,
    partition: int,
    *,
    watermark_us: int,
    has_caught_up: bool,
    send: SendClaims,
    now_us: int,
) -> bool:
    """Do a slice of the oldest erasure of a partition.

    Args:
        partition: whose erasures; also the shard of the count rows.
        watermark_us: lapses due by this instant have happened.
        has_caught_up: whether the log is staged to its end.
        send: puts claims on the log.

    Returns:
        whether there may be more to do.

    Raises:
        ModelsChangedError: read the models again.
    """
    async with reading(engine) as connection:
        waiting = await erasures.read_open(connection, partition, OPEN)
    for erasure in waiting:
        if erasure.state == ErasureState.ASKED and has_caught_up:
            await _order(engine, erasure, send)
    ready = [e for e in waiting if e.state not in (ErasureState.ASKED, ErasureState.ORDERED) and e.workspace in models]
    if not ready:
        return False
    async with transaction(engine) as connection:
        held = ready[0].state == ErasureState.JOURNEYS
        if held:
            await _hold(connection, ready[0].workspace, models)
        else:
            await lock_models(connection, {ready[0].workspace}, models)
        claimed = await erasures.claim_erasure(connection, ready[0].id)
        if claimed is not None and claimed.state == ready[0].state:
            slice_ = _Slice(connection, models, partition, watermark_us, now_us, claimed)
            await slice_.run()
            return not slice_.is_waiting
    return True


async def _order(engine: AsyncEngine, erasure: Erasure, send: SendClaims) -> None:
    """Put all ids of the customers that an erasure names on the log."""
    async with reading(engine) as connection:
        rows = await identity.read_ids(connection, ((erasure.workspace, digest) for digest in erasure.subjects))
        members = await identity.read_member_rows(connection, {row.root for row in rows.values()})
    digests = sorted({*erasure.subjects, *(row.id for row in members)})
    # The first digest says in which partition the records lie: that of the erasure's own record.
    key = erasure.subjects[0]
    others = [digest for digest in digests if digest != key]
    step = MAX_DIGESTS - 1
    await send(
        [
            Claim(
                ERASE,
                erasure.workspace,
                erasure.name,
                erasure.until_us,
                (key, *others[start : start + step]),
                erasure.once,
                is_whole=True,
            )
            for start in range(0, max(1, len(others)), step)
        ]
    )
    async with transaction(engine) as connection:
        stored = await erasures.claim_erasure(connection, erasure.id)
        if stored is not None and stored.state == ErasureState.ASKED:
            await erasures.set_erasure(connection, stored, state=ErasureState.ORDERED)


async def _hold(connection: AsyncConnection, workspace: int, models: ModelsByWorkspace) -> None:
    """Keep everybody else from staging for a workspace until the transaction ends."""
    versions = await erasures.hold_workspaces(connection, [workspace])
    if versions[workspace] != models[workspace].version + 1:
        raise ModelsChangedError(f"the models of workspace {workspace} have changed")


class _Slice:
    """One transaction of an erasure."""

    def __init__(
        self,
        connection: AsyncConnection,
        models: ModelsByWorkspace,
        partition: int,
        watermark_us: int,
        now_us: int,
        erasure: Erasure,
    ) -> None:
        self._connection = connection
        self._models: Sequence[ActiveModel] = models[erasure.workspace].models
        self._partition = partition
        self._now_us = now_us
        self._changes = ChangeSet(watermark_us)
        self._erasure = erasure
        self._digests = erasure.digests
        self._erased = set(erasure.digests)
        self.is_waiting = False
        """Whether others have to do something first."""
        self._until_us = erasure.until_us if erasure.once else FOR_EVER

    async def run(self) -> None:
        """Do what is next."""
        steps = {
            ErasureState.FACTS: self._erase_facts,
            ErasureState.MENTIONS: self._strip_mentions,
            ErasureState.REJECTED: self._erase_rejected,
            ErasureState.HISTORY: self._recompute_aside,
            ErasureState.JOURNEYS: self._erase_journeys,
            ErasureState.PROOF: self._prove,
        }
        await steps[self._erasure.state]()

    async def _go_on(self, state: ErasureState, cursor: int = 0, **changed: Any) -> None:
        await erasures.set_erasure(self._connection, self._erasure, state=state, cursor=cursor, **changed)

    # --- facts --------------------------------------------------------------------------------------------------------

    async def _erase_facts(self) -> None:
        rows = await erasures.read_facts_to_erase(self._connection, self._digests, self._until_us, FACTS)
        if rows:
            await self._uncount_unmapped(rows)
            await erasures.delete_facts(self._connection, [(row.actor, row.message) for row in rows])
        is_last = len(rows) < FACTS
        await self._go_on(
            ErasureState.MENTIONS if is_last else ErasureState.FACTS,
            EVER if is_last else 0,
            touchpoints=self._erasure.touchpoints + len(rows),
        )

    async def _uncount_unmapped(self, rows: Iterable[Any]) -> None:
        """Take facts out of the counts of unknown names, for the models that have counted them."""
        _, stored = await self._lock_ids()
        roots = {digest: row.root for digest, row in stored.items()}
        states = await journeys.read_journeys(self._connection, sorted(set(roots.values())))
        in_journeys = [row for row in rows if not row.bot and not row.test]
        for active in self._models:
            self._changes.count_unmapped(
                active,
                [
                    Touchpoint(row.occurred_us, 0, "", "", row.call, row.name, source=row.source)
                    for row in in_journeys
                    if not active.backfilling or (roots.get(row.actor, b""), active.id) in states
                ],
            )
        taken = {key: [-events, *instants] for key, (events, *instants) in self._changes.unmapped.items()}
        await counts.add_unmapped(self._connection, self._partition, taken)

    async def _read_ids(self, digests: Iterable[bytes]) -> dict[bytes, IdRow]:
        """Returns the rows of those ids of the workspace that are stored, by digest."""
        return await identity.read_ids(self._connection, ((self._erasure.workspace, digest) for digest in digests))

    async def _lock_ids(self) -> tuple[IdentityGraph, dict[bytes, IdRow]]:
        """Lock the customers of the ids; returns them and the ids that are stored."""
        stored = await self._read_ids(self._digests)
        graph = IdentityGraph(self._connection)
        await graph.lock(IdRequest(row.workspace, row.id, row.name) for row in stored.values())
        return graph, {digest: graph.row(digest) for digest in stored}

    async def _strip_mentions(self) -> None:
        """Take the ids out of the facts of others that were seen with one of them."""
        names = await self._names()
        next_us = await erasures.strip_mentions(
            self._connection, await self._neighbours(names), names, self._erasure.cursor, self._until_us, FACTS
        )
        if next_us is not None:
            await self._go_on(ErasureState.MENTIONS, next_us)
        elif await self._unlinked(names):
            await self._go_on(ErasureState.MENTIONS, EVER)
        else:
            await self._go_on(ErasureState.REJECTED)

    async def _names(self) -> list[str]:
        stored = await self._read_ids(self._digests)
        return sorted(row.name for row in stored.values())

    async def _neighbours(self, names: Sequence[str]) -> list[bytes]:
        """Returns the digests of others whose facts name one of the ids, or whom one of its facts names."""
        pairs = await erasures.read_linked(self._connection, self._digests)
        pairs += await erasures.read_ruled(self._connection, self._digests)
        unlinked = await self._unlinked(names)
        return sorted({*unlinked, *(end for pair in pairs for end in pair)} - set(self._digests))

    async def _unlinked(self, names: Sequence[str]) -> list[bytes]:
        workspace = self._erasure.workspace
        return await erasures.read_unlinked(self._connection, workspace, names, self._until_us, UNLINKED)

    # --- rejected events ----------------------------------------------------------------------------------------------

    async def _erase_rejected(self) -> None:
        last, numbers = await self._find_rejected()
        if numbers:
            await erasures.delete_rejected(self._connection, numbers)
        if last is None:
            await self._go_on(ErasureState.HISTORY)
        else:
            await self._go_on(ErasureState.REJECTED, last)

    async def _find_rejected(self) -> tuple[int | None, list[int]]:
        """Returns which rejected event was looked through last, None at the end, and those with one of the ids."""
        rows = await erasures.read_rejected(self._connection, self._erasure.workspace, self._erasure.cursor, REJECTED)
        numbers = []
        for number, payload in rows:
            if not self._erased.isdisjoint(digests_in(self._erasure.workspace, payload)):
                numbers.append(number)
            await asyncio.sleep(0)
        return (rows[-1][0] if len(rows) == REJECTED else None), numbers

    # --- identity and journeys ----------------------------------------------------------------------------------------

    async def _erase_journeys(self) -> None:
        """Take back the journeys. Nobody else stages for the workspace meanwhile."""
        stored = await self._read_ids(self._digests)
        roots = {row.root for row in stored.values()}
        members = {row.id: row for row in await identity.read_member_rows(self._connection, roots)}
        if await recomputations.read_marks(self._connection, roots):
            await self._go_on(ErasureState.HISTORY, 1)
            return
        others = {row.id: row for row in members.values() if row.id not in self._erased}
        names = sorted(row.name for row in stored.values())
        neighbours = await self._neighbours(names)
        await self._unlink(others, neighbours, names)
        graph = IdentityGraph(self._connection)
        remaining = await self._restore_identity(graph, others, neighbours, names)
        await self._recompute(graph, roots, remaining, members)
        proof = await erasures.prove(self._connection, self._erasure, names, sorted({*neighbours, *others}))
        await self._go_on(ErasureState.PROOF, proof=erasures.dump_proof(proof))

    async def _recompute_aside(self) -> None:
        """Have the journeys recomputed without the facts, slice by slice, and wait for it."""
        graph, stored = await self._lock_ids()
        roots = {row.root for row in stored.values()}
        if self._erasure.cursor:
            self.is_waiting = bool(await recomputations.read_marks(self._connection, roots))
            if not self.is_waiting:
                await self._go_on(ErasureState.JOURNEYS)
            return
        await delete_snapshots(self._connection, self._digests)
        states = await journeys.read_journeys(self._connection, sorted(roots))
        left = [
            LeftAside(self._customer(graph, root), active, EVER)
            for root in sorted(roots)
            for active in self._models
            if (root, active.id) in states
        ]
        await leave_aside(self._connection, self._changes, left)
        await self._go_on(ErasureState.HISTORY, 1)

    def _customer(self, graph: IdentityGraph, root: bytes) -> Customer:
        return Customer(self._erasure.workspace, root, graph.row(root).name, self._models)

    async def _unlink(self, others: Mapping[bytes, IdRow], neighbours: Sequence[bytes], names: Sequence[str]) -> None:
        """Delete the ids with all that links them, and let each other id of their customers stand by itself."""
        lost: defaultdict[bytes, int] = defaultdict(int)
        for id_, _ in await erasures.read_linked(self._connection, self._digests):
            lost[id_] += 1
        await erasures.delete_person(self._connection, self._erasure.workspace, self._digests, names)
        rows = await self._read_ids(neighbours) | dict(others)
        changed = []
        for digest, row in rows.items():
            new = row._replace(links=row.links - lost.get(digest, 0))
            if digest in others:
                new = new._replace(
                    members=1, owner=None, link_us=None, link_place=None, link_message=None, link_by=None, root=row.id
                )
            if new != row:
                changed.append(new)
        if changed:
            await identity.write_ids(self._connection, sorted(changed, key=lambda row: (row.workspace, row.id)))

    async def _restore_identity(
        self, graph: IdentityGraph, others: Mapping[bytes, IdRow], neighbours: Sequence[bytes], names: Sequence[str]
    ) -> dict[bytes, bytes]:
        """Find out whose the other ids are now, and, after an erasure `once`, those that came back.

        Returns:
            both, and by digest the customer that an id has left which was of none of the erased ones; else empty.
        """
        await graph.lock(IdRequest(row.workspace, row.id, row.name) for row in others.values())
        await graph.resolve(sorted(others))
        remaining = dict.fromkeys(others, b"")
        if self._erasure.once:
            rows = await erasures.read_remaining(self._connection, self._digests, neighbours, names)
            events: defaultdict[bytes, list[Touchpoint]] = defaultdict(list)
            for row in rows:
                events[row.actor].append(self._touchpoint_of(row))
            if events:
                moves = await graph.apply(mentions_of(events))
                remaining |= dict.fromkeys(events.keys() & self._erased, b"")
                # Others may have joined or left by what is said of the ids now.
                remaining |= {move.id: move.from_customer for move in moves if move.id not in remaining}
        return remaining

    def _touchpoint_of(self, row: Any) -> Touchpoint:
        return Touchpoint(
            row.occurred_us,
            row.place,
            row.message_id,
            row.user_id or row.anonymous_id or "",
            row.call,
            "",
            self._erasure.workspace,
            user_id=row.user_id or "",
            anonymous_id=row.anonymous_id or "",
            previous_id=row.previous_id or "",
        )

    async def _recompute(
        self,
        graph: IdentityGraph,
        roots: set[bytes],
        remaining: Mapping[bytes, bytes],
        members: Mapping[bytes, IdRow],
    ) -> None:
        """Recompute the customers of the remaining ids, and take back what stands under ids that are none any more."""
        updates: dict[bytes, CustomerUpdate] = {}
        left_customers = {customer for digest, customer in remaining.items() if customer and digest not in members}
        roots |= left_customers
        for customer in left_customers - remaining.keys():
            if graph.row(customer).owner is None:  # it has other ids
                updates[customer] = CustomerUpdate(self._customer(graph, customer))
                updates[customer].change_from(BEGINNING)
        earliest = await facts.read_earliest(self._connection, sorted(remaining)) if remaining else {}
        for digest in sorted(remaining):
            root = graph.customer_of(digest)
            if root not in updates:
                updates[root] = CustomerUpdate(self._customer(graph, root))
            update = updates[root]
            if digest in members:
                update.previous_owner[digest] = members[digest].root
            elif remaining[digest]:
                update.previous_owner[digest] = remaining[digest]
            if root in roots or root in remaining:
                update.change_from(BEGINNING)
            elif digest in earliest:
                update.change_from((earliest[digest], 0, "", ""))
        updates = {root: update for root, update in updates.items() if update.changed_from is not None}
        if updates:
            for root, ids in (await identity.read_members(self._connection, sorted(updates))).items():
                updates[root].add_members(ids)
        states = await journeys.read_journeys(self._connection, sorted(roots | updates.keys()))
        marks = await recomputations.read_marks(self._connection, updates)
        for root in roots - updates.keys():
            await self._retract(root, states)
        counted = states.keys() | marks.keys()
        left = [journey for update in updates.values() for journey in _leave_marked(update, marks, counted)]
        recomputed = await recompute(
            self._connection,
            self._changes,
            [update for update in updates.values() if update.customer.models],
            states,
            counted,
            Budget(),
        )
        await leave_aside(self._connection, self._changes, left + recomputed.left)
        await apply_changes(self._connection, self._changes, self._partition)
        if not self._erasure.once:
            await erasures.delete_journeys_of(self._connection, self._digests)  # those of retired generations too

    async def _retract(self, root: bytes, states: journeys.JourneyMap) -> None:
        for active in self._models:
            stored = states.get((root, active.id))
            if stored is not None:
                transitions = await journeys.read_transitions(self._connection, [(root, active.id, EVER, NEVER)])
                self._changes.retract(root, active, stored.journey, transitions.get((root, active.id), ()))

    # --- the proof ----------------------------------------------------------------------------------------------------

    async def _prove(self) -> None:
        """Look through the rejected events once more. What is left sends the erasure back to its beginning."""
        last, numbers = await self._find_rejected()
        proof = self._erasure.proof
        proof["rejected.payload"] = proof.get("rejected.payload", 0) + len(numbers)
        if last is not None:
            await self._go_on(ErasureState.PROOF, last, proof=erasures.dump_proof(proof))
        elif any(proof.values()):
            await self._go_on(ErasureState.FACTS)
        else:
            await self._go_on(ErasureState.DONE, proof=erasures.dump_proof(proof), done_us=self._now_us)


def _leave_marked(
    update: CustomerUpdate, marks: Mapping[JourneyKey, Mark], counted: Container[JourneyKey]
) -> list[LeftAside]:
    """Returns the marked journeys of a customer, which are recomputed aside, and leaves them out of its update."""
    assert update.changed_from is not None
    customer, changed_us = update.customer, update.changed_from[0]
    marked = [active for active in customer.models if (customer.digest, active.id) in marks]
    update.customer = customer._replace(models=[active for active in customer.models if active not in marked])
    return [LeftAside(customer, active, changed_us, update.uncounted_ids(active, counted)) for active in marked]
