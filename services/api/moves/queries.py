"""Statements over the transitions of all customers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, Select, and_, case, func, literal, or_, select, true, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.shared.queries import CustomerFilter, count_in_time, counted_journeys
from throughline.analytics.flows import NEW, Place
from throughline.journey.flows import CYCLE_CLASSES
from throughline.journey.milestones import ABANDONED, CHURNED, ENDED, OPEN
from throughline.journey.model import UNPLACED
from throughline.journey.state import CHURNED_NAME, ENTER, LAPSE, RETURN, Transition
from throughline.store.schema.counts import phase_counts
from throughline.store.schema.journeys import journeys, transitions


class MoveFilter(NamedTuple):
    """Which moves. What is empty or None filters nothing."""

    generation: int
    customers: CustomerFilter
    first_us: int | None = None
    end_us: int | None = None
    of_cycles: bool = False
    """Whether the two instants are about when the cycle of a move began."""
    kinds: tuple[int, ...] = ()
    from_phases: tuple[int, ...] = ()
    to_phases: tuple[int, ...] = ()
    from_places: tuple[Place, ...] = ()
    to_places: tuple[Place, ...] = ()

    @property
    def kept_count(self) -> str | None:
        """The count of the phases that knows how many these are; None: there is none."""
        kinds, phases = set(self.kinds), (bool(self.from_phases), bool(self.to_phases))
        if self.from_places or self.to_places or (self.first_us, self.end_us) != (None, None):
            return None
        if phases == (True, False):
            return "left" if kinds == {ENTER, RETURN} and UNPLACED not in self.from_phases else None
        if phases == (False, True):
            return {frozenset({ENTER, RETURN}): "entered", frozenset({RETURN}): "returned"}.get(frozenset(kinds))
        return None


class Counted(NamedTuple):
    """A number of items as far as it is known, and whether it is a kept count."""

    number: int | None
    is_kept: bool


class MovePosition(NamedTuple):
    """The place of a move in the list."""

    customer: bytes
    at_us: int
    place: int
    message_id: str
    actor: str
    kind: int


class Move(NamedTuple):
    """A customer's transition."""

    customer: bytes
    id: str
    transition: Transition

    @property
    def position(self) -> MovePosition:
        """The place in the list."""
        return MovePosition(self.customer, *self.transition[:5])


class CycleFilter(NamedTuple):
    """Which cycles."""

    generation: int
    customers: CustomerFilter
    first_us: int
    end_us: int
    phases: int | None = None
    """Those that were entered, and no others, as bits; None: any."""
    outcome: int | None = None
    but: tuple[tuple[int, int], ...] = ()
    """Variants that these are none of: phases as bits, and outcome."""


class CyclePosition(NamedTuple):
    """The place of a cycle in the list."""

    customer: bytes
    cycle: int


class CycleRow(NamedTuple):
    """One cycle of a customer."""

    customer: bytes
    id: str
    cycle: int
    began_us: int
    phases: int
    """Those entered, as bits: phase 1 is bit 0."""
    outcome: int
    ended_us: int | None

    @property
    def position(self) -> CyclePosition:
        """The place in the list."""
        return CyclePosition(self.customer, self.cycle)


_PLACE = tuple(transitions.c[name] for name in MovePosition._fields)


def moves_of(moves: MoveFilter) -> Select[Any]:
    """Selects the moves."""
    t = transitions.c
    conditions = [
        t.model == moves.generation,
        journeys.c.model == moves.generation,
        journeys.c.customer == t.customer,
        *counted_journeys(moves.generation, moves.customers),
    ]
    at_us: ColumnElement[int] = t.at_us
    if moves.of_cycles:
        earlier = transitions.alias("earlier").c
        at_us = (
            select(func.min(earlier.at_us))
            .where(
                earlier.customer == t.customer,
                earlier.model == t.model,
                earlier.cycle == t.cycle,
                earlier.kind != LAPSE,
            )
            .scalar_subquery()
        )
    if moves.first_us is not None:
        conditions.append(at_us >= moves.first_us)
    if moves.end_us is not None:
        conditions.append(at_us < moves.end_us)
    for column, values in ((t.kind, moves.kinds), (t.from_phase, moves.from_phases), (t.to_phase, moves.to_phases)):
        if values:
            conditions.append(column.in_(values))
    if moves.from_places:
        conditions.append(or_(*(_leads_from(place) for place in moves.from_places)))
    if moves.to_places:
        conditions.append(or_(*(_leads_to(place) for place in moves.to_places)))
    return select(t.customer, journeys.c.id, *(t[name] for name in Transition._fields)).where(*conditions)


def cycles_of(cycles: CycleFilter) -> Select[Any]:
    """Selects the cycles."""
    t, j = transitions.c, journeys.c
    moves = transitions.alias("moves")
    m = moves.c
    is_entry, is_lapse = m.kind != LAPSE, m.kind == LAPSE
    bit = literal(1, BigInteger).bitwise_lshift(m.to_phase - 1)
    ended = case((m.message_id != "", ENDED), (m.rule == CHURNED_NAME, CHURNED), else_=ABANDONED)
    way = (
        select(
            func.bit_or(bit).filter(is_entry).label("phases"),
            func.coalesce(func.max(ended).filter(is_lapse), OPEN).label("outcome"),
            func.max(m.at_us).filter(is_lapse).label("ended_us"),
        )
        .where(m.customer == t.customer, m.model == cycles.generation, m.cycle == t.cycle)
        .lateral("way")
    )
    conditions = [
        t.model == cycles.generation,
        # What a cycle begins with.
        or_(t.kind == RETURN, and_(t.kind == ENTER, t.from_phase == UNPLACED)),
        t.at_us >= cycles.first_us,
        t.at_us < cycles.end_us,
        *counted_journeys(cycles.generation, cycles.customers),
    ]
    if cycles.phases is not None:
        conditions.append(way.c.phases == cycles.phases)
    if cycles.outcome is not None:
        conditions.append(way.c.outcome == cycles.outcome)
    if cycles.but:
        conditions.append(tuple_(way.c.phases, way.c.outcome).not_in(cycles.but))
    return (
        select(t.customer, j.id, t.cycle, t.at_us.label("began_us"), way.c.phases, way.c.outcome, way.c.ended_us)
        .join(journeys, and_(j.customer == t.customer, j.model == cycles.generation))
        .join(way, true())
        .where(*conditions)
    )


async def list_moves(
    connection: AsyncConnection, moves: MoveFilter, after: MovePosition | None, count: int
) -> list[Move]:
    """Up to `count` moves after a position: by customer, and of each in their order."""
    query = moves_of(moves)
    if after is not None:
        query = query.where(tuple_(*_PLACE) > tuple_(*after))
    rows = await connection.execute(query.order_by(*_PLACE).limit(count))
    return [Move(customer, id_, Transition(*transition)) for customer, id_, *transition in rows]


async def count_moves(connection: AsyncConnection, moves: MoveFilter) -> Counted:
    """How many moves these are: by the kept counts; where those do not know, as `count_in_time`."""
    number = moves.kept_count
    if number is None:
        return Counted(await count_in_time(connection, moves_of(moves)), is_kept=False)
    c = phase_counts.c
    sums = select(func.sum(c[number]).cast(BigInteger)).where(
        c.model == moves.generation,
        c.phase.in_(moves.from_phases or moves.to_phases),
        *moves.customers.conditions(phase_counts),
    )
    return Counted(await connection.scalar(sums) or 0, is_kept=True)


async def list_cycles(
    connection: AsyncConnection, cycles: CycleFilter, after: CyclePosition | None, count: int
) -> list[CycleRow]:
    """Up to `count` cycles after a position: by customer, and of each in their order."""
    query = cycles_of(cycles)
    customer, _, cycle, *_ = query.selected_columns
    if after is not None:
        query = query.where(tuple_(customer, cycle) > tuple_(after.customer, after.cycle))
    rows: Sequence[Any] = (await connection.execute(query.order_by(customer, cycle).limit(count))).all()
    return [CycleRow(*row) for row in rows]


def _leads_from(place: Place) -> ColumnElement[bool]:
    """As `_from` of `throughline/analytics/flows.py`."""
    t = transitions.c
    if place == NEW:
        return and_(t.kind != RETURN, t.from_phase == place.phase)
    cycle = t.cycle - 1 if place.lapsed else t.cycle
    is_return = t.kind == RETURN
    return and_(is_return if place.lapsed else ~is_return, t.from_phase == place.phase, _is_of(cycle, place))


def _leads_to(place: Place) -> ColumnElement[bool]:
    t = transitions.c
    is_lapse = t.kind == LAPSE
    return and_(is_lapse if place.lapsed else ~is_lapse, t.to_phase == place.phase, _is_of(t.cycle, place))


def _is_of(cycle: ColumnElement[int], place: Place) -> ColumnElement[bool]:
    return cycle >= place.cycle if place.cycle == CYCLE_CLASSES else cycle == place.cycle
