"""Statements over ids by how they begin, and over the customers that the ids belong to."""

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, exists, or_, select, union_all
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.search.text import KeyRange
from throughline.store.access.suppressions import FOR_EVER
from throughline.store.erasures import ErasureState
from throughline.store.schema.identity import id_key, ids
from throughline.store.schema.journeys import journeys
from throughline.store.schema.rights import erasures, suppressions

MAX_IDS = 200
"""Maximum number of ids that are read, so that a customer with many ids alike leaves room for others."""


class Match(NamedTuple):
    """An id that begins as typed, and its customer by digest."""

    name: str
    customer: bytes


class CustomerRow(NamedTuple):
    """Where a customer stands."""

    customer: bytes
    id: str
    phase: int
    lapsed_us: int
    last_us: int


async def match_ids(connection: AsyncConnection, workspace: int, ranges: Sequence[KeyRange]) -> list[Match]:
    """The first ids of a workspace within some ranges of keys, by key, `MAX_IDS` at most."""
    c = ids.c
    parts = [
        select(
            select(c.name, c.root, id_key.label("key"))
            .where(c.workspace == workspace, *_within(range_))
            .order_by(id_key)
            .limit(MAX_IDS)
            .subquery()
        )
        for range_ in ranges
    ]
    each = union_all(*parts).subquery()
    query = select(each.c.name, each.c.root).order_by(each.c.key, each.c.name).limit(MAX_IDS)
    return [Match(*row) for row in await connection.execute(query)]


def _within(range_: KeyRange) -> list[ColumnElement[bool]]:
    ends = [] if range_.end is None else [id_key < range_.end]
    return [id_key >= range_.first, *ends]


async def read_customers(
    connection: AsyncConnection, workspace: int, generation: int, digests: Sequence[bytes]
) -> dict[bytes, CustomerRow]:
    """Where some customers stand, by digest: those that are in the generation, and that nobody has asked to erase."""
    c, member, s, e = journeys.c, ids.alias("member"), suppressions.c, erasures.c
    # What is erased for ever stays away; an id that may come back is away until all of it is erased.
    is_under_way = exists().where(e.workspace == workspace, e.state != ErasureState.DONE, e.until_us == s.until_us)
    is_erased = exists().where(
        member.c.workspace == workspace,
        member.c.root == c.customer,
        s.digest == member.c.id,
        or_(s.until_us == FOR_EVER, is_under_way),
    )
    query = select(*(c[name] for name in CustomerRow._fields)).where(
        c.model == generation, c.customer.in_(digests), ~is_erased
    )
    return {row[0]: CustomerRow(*row) for row in await connection.execute(query)}
