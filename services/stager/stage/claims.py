"""Claims of persons in a batch: which ids are suppressed, and what that leaves of other records.

The rule: what was received of a suppressed id until its instant is no fact, wherever it lies in the log, and facts of
others do not name the id. So it does not matter in which order partitions are staged.
"""

import asyncio
from collections.abc import Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.stager.stage.decode import Batch, Parts, Preparation
from services.stager.stage.models import ModelsByWorkspace, ModelsChangedError
from throughline.store import erasures
from throughline.store.access.suppressions import FOR_EVER, read_suppressed
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import reading
from throughline.store.erasures import Erasure, ErasureState
from throughline.store.facts import parameters_of
from throughline.wire.claims import COPY, ERASE, Claim
from throughline.wire.names import names_in

PIECE_RECORDS = 250
"""Number of records that are decoded in one go: some milliseconds."""


async def prepare_batch(engine: AsyncEngine, parts: Parts, models: ModelsByWorkspace, *, topic: str) -> Batch:
    """Returns records as `prepare` does, without what is suppressed; whatever else runs has its turn meanwhile.

    What is suppressed changes with a workspace's version only, which the batch's transaction checks (`lock_models`).
    """
    batch = await _prepared(Preparation(models, topic), parts)
    suppressed = _suppressed_by(batch.claims)
    watched = {workspace for workspace, of in models.items() if of.has_suppressions}
    if watched:
        ids = {
            id_digest(t.workspace, name)
            for touchpoints in batch.arrived.values()
            for t in touchpoints
            if t.workspace in watched
            for name in (t.actor, t.anonymous_id, t.previous_id)
            if name
        }
        async with reading(engine) as connection:
            for digest, until_us in (await read_suppressed(connection, ids)).items():
                suppressed[digest] = max(until_us, suppressed.get(digest, until_us))
    if not suppressed:
        return batch
    return await _prepared(Preparation(models, topic, suppressed), parts)


async def _prepared(preparation: Preparation, parts: Parts) -> Batch:
    for partition, records in parts.items():
        for start in range(0, len(records), PIECE_RECORDS):
            preparation.add(partition, records[start : start + PIECE_RECORDS])
            await asyncio.sleep(0)
    batch = preparation.batch()
    await asyncio.sleep(0)
    return batch._replace(parameters=parameters_of(batch.rows))


def _suppressed_by(claims: Iterable[Claim]) -> dict[bytes, int]:
    suppressed: dict[bytes, int] = {}
    for claim in claims:
        if claim.call == ERASE:
            until_us = _until_us(claim)
            for digest in claim.digests:
                suppressed[digest] = max(until_us, suppressed.get(digest, until_us))
    return suppressed


def _until_us(claim: Claim) -> int:
    return claim.at_us if claim.once else FOR_EVER


async def stage_claims(
    connection: AsyncConnection,
    claims: Sequence[Claim],
    models: ModelsByWorkspace,
    *,
    shard: int,
    log_seconds: float | None,
) -> set[int]:
    """Store the claims of a batch.

    Args:
        connection: within the transaction that moves the partitions' offsets.
        claims: in order.
        models: the models the batch was prepared with.
        shard: one of the partitions, which carries the erasures out.
        log_seconds: the time after which the log holds nothing any more of what it holds now; None: unknown.

    Returns:
        the workspaces that are held until the transaction ends: nobody else stages for them.

    Raises:
        ModelsChangedError: refresh the models, prepare the records again and try again.
    """
    to_erase = [claim for claim in claims if claim.call == ERASE]
    versions = await erasures.hold_workspaces(connection, (claim.workspace for claim in to_erase))
    for workspace, version in versions.items():
        if version != models[workspace].version + 1:
            raise ModelsChangedError(f"the models of workspace {workspace} have changed")
    for claim in to_erase:
        await erasures.suppress(connection, claim.workspace, claim.digests, _until_us(claim))
        await _store(connection, claim, shard, log_seconds)
    requests = [
        (claim.workspace, claim.name, digest, claim.at_us)
        for claim in claims
        if claim.call == COPY
        for digest in claim.digests
    ]
    if requests:
        await erasures.add_data_requests(connection, requests)
    return set(versions)


async def _store(connection: AsyncConnection, claim: Claim, shard: int, log_seconds: float | None) -> None:
    stored = await erasures.find_erasure(connection, claim.workspace, claim.name)
    if stored is None:
        await erasures.add_erasure(
            connection,
            Erasure(
                0,
                claim.workspace,
                claim.name,
                shard,
                ErasureState.FACTS if claim.is_whole else ErasureState.ASKED,
                claim.once,
                claim.at_us,
                () if claim.is_whole else claim.digests,
                claim.digests,
                cursor=0,
                touchpoints=0,
                clear_us=None if log_seconds is None else claim.at_us + int(log_seconds * 1e6),
                done_us=None,
                proof={},
            ),
        )
        return
    digests = erasures.joined(dict.fromkeys((*stored.digests, *claim.digests)))
    if claim.is_whole:
        is_waiting = stored.state in (ErasureState.ASKED, ErasureState.ORDERED)
        if is_waiting or digests != erasures.joined(stored.digests):
            await erasures.set_erasure(connection, stored, digests=digests, state=ErasureState.FACTS, cursor=0)
    elif not set(claim.digests) <= set(stored.digests):
        subjects = erasures.joined(dict.fromkeys((*stored.subjects, *claim.digests)))
        await erasures.set_erasure(
            connection, stored, digests=digests, subjects=subjects, state=ErasureState.ASKED, cursor=0
        )


def digests_in(workspace: int, payload: bytes) -> set[bytes]:
    """Returns the digests, in a workspace, of all that may be ids in a rejected event; none for another workspace's."""
    owner, names = names_in(payload)
    return {id_digest(workspace, name) for name in names} if owner in (0, workspace) else set()
