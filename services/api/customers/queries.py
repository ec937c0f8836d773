"""Statements over customers as a list: as they stand, and as they stood at a past moment."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    case,
    func,
    literal,
    select,
    true,
    tuple_,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import NONE
from services.api.shared.queries import CustomerFilter, count_in_time, counted_journeys, summed
from services.api.shared.sums import Sums
from throughline.journey.durations import DAY_US
from throughline.journey.memory import CHURNED, EMPTIED
from throughline.journey.model import UNPLACED, Model
from throughline.journey.state import CHURNED_NAME, LAPSE, Journey
from throughline.journey.trail import FIELDS, SEPARATOR
from throughline.store.schema.counts import phase_counts
from throughline.store.schema.journeys import journeys, transitions

Activity = Literal["active", "lapsed"]
LapseName = Literal["abandoned", "churned"]
Sort = Literal["id", "last_seen", "entered"]

_NOT_READ = {"memory": "", "milestones": "", "trail": "", "last_place": 0, "last_message": "", "last_actor": ""}
"""Fields of a journey that a list does not show; the texts are long."""


class Span(NamedTuple):
    """From `first` on and before `end`; None: without an end on that side."""

    first: int | None = None
    end: int | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing lies outside."""
        return self.first is None and self.end is None

    def conditions(self, column: ColumnElement[int]) -> list[ColumnElement[bool]]:
        """Conditions on a column whose values lie within."""
        conditions: list[ColumnElement[bool]] = []
        if self.first is not None:
            conditions.append(column >= self.first)
        if self.end is not None:
            conditions.append(column < self.end)
        return conditions


EVER = Span()


class Standing(NamedTuple):
    """Where customers stand: what the counts of the phases tell apart."""

    customers: CustomerFilter = CustomerFilter()
    phases: tuple[int, ...] = ()
    """Empty: any but unplaced."""
    activity: Activity | None = None
    lapse: LapseName | None = None

    def number_of(self, sums: Sums) -> int:
        """How many of the customers of some phases these are."""
        if self.lapse is not None and self.activity == "active":
            return 0
        if self.lapse is not None:
            return sums.churned if self.lapse == "churned" else sums.lapsed - sums.churned
        return {None: sums.now, "active": sums.active, "lapsed": sums.lapsed}[self.activity]


class CustomersQuestion(NamedTuple):
    """Which customers."""

    generation: int
    standing: Standing
    cycles: Span = EVER
    entered: Span = EVER
    seen: Span = EVER
    orders: Span = EVER
    lapsing_until_us: int | None = None
    campaigns: tuple[str, ...] = ()
    """That the opening of the present cycle names; empty: any."""

    @property
    def is_of_most(self) -> bool:
        """Whether nothing that is asked leaves few customers of a phase, or none."""
        few = (self.seen, self.orders, self.lapsing_until_us, self.campaigns, self.standing.lapse)
        return few == (EVER, EVER, None, (), None)

    @property
    def is_of_kept_counts(self) -> bool:
        """Whether the counts of the phases know how many these are."""
        return self[2:] == (EVER, EVER, EVER, EVER, None, ())


class Order(NamedTuple):
    """How a list is sorted."""

    sort: Sort
    descending: bool


class CustomerPosition(NamedTuple):
    """The place of a customer in a list: the instant that it is sorted by (0 for none), and its digest."""

    at_us: int
    customer: bytes


class CustomerRow(NamedTuple):
    """A customer and where it stands."""

    customer: bytes
    id: str
    orders: int
    journey: Journey

    def position(self, sort: Sort) -> CustomerPosition:
        """The place in the list."""
        instants = {"id": 0, "last_seen": self.journey.last_us, "entered": self.journey.entered_us}
        return CustomerPosition(instants[sort], self.customer)


async def list_customers(
    connection: AsyncConnection,
    model: Model,
    question: CustomersQuestion,
    order: Order,
    after: CustomerPosition | None,
    count: int,
) -> list[CustomerRow]:
    """Up to `count` customers after a position."""
    conditions = _conditions(model, question)
    c = journeys.c
    keys: dict[Sort, tuple[ColumnElement[Any], ...]] = {
        "id": (c.customer,),
        # The day is in the index, and grows with the instant.
        "last_seen": (c.last_day, c.last_us, c.customer),
        "entered": (c.entered_us, c.customer),
    }
    key = keys[order.sort]
    if after is not None:
        places: dict[Sort, tuple[Any, ...]] = {
            "id": (after.customer,),
            "last_seen": (_day(after.at_us), after.at_us, after.customer),
            "entered": (after.at_us, after.customer),
        }
        place = tuple_(*places[order.sort])
        conditions.append(tuple_(*key) < place if order.descending else tuple_(*key) > place)

    def ordered(*further: ColumnElement[bool]) -> Select[Any]:
        in_order = [column.desc() if order.descending else column.asc() for column in key]
        return select(*_columns()).where(*conditions, *further).order_by(*in_order).limit(count)

    if order.sort != "entered" or not question.is_of_most:
        query = ordered(_in_phases(c.phase, question.standing.phases))
    else:
        # The index has the instants in order within each phase. Where few customers are left, they are sorted instead.
        phases = question.standing.phases or [phase.number for phase in model.phases]
        each = union_all(*(select(ordered(c.phase == phase).subquery()) for phase in phases)).subquery("each")
        in_order = [each.c.entered_us, each.c.customer]
        query = (
            select(each).order_by(*(column.desc() if order.descending else column for column in in_order)).limit(count)
        )
    return [_row(row) for row in await connection.execute(query)]


async def count_customers(connection: AsyncConnection, model: Model, question: CustomersQuestion) -> int | None:
    """How many customers these are: by the kept counts; where those do not know, as `count_in_time`."""
    if question.is_of_kept_counts:
        return await _kept_count(connection, question)
    in_phases = _in_phases(journeys.c.phase, question.standing.phases)
    return await count_in_time(connection, select(journeys.c.id).where(*_conditions(model, question), in_phases))


async def _kept_count(connection: AsyncConnection, question: CustomersQuestion) -> int:
    c, standing = phase_counts.c, question.standing
    sums = select(*summed(phase_counts)).where(
        c.model == question.generation,
        _in_phases(c.phase, standing.phases),
        *standing.customers.conditions(phase_counts),
    )
    row = (await connection.execute(sums)).one()
    return standing.number_of(Sums(*(value or 0 for value in row)))


async def list_past_customers(
    connection: AsyncConnection,
    question: CustomersQuestion,
    at_us: int,
    after: CustomerPosition | None,
    count: int,
) -> list[CustomerRow]:
    """Up to `count` customers as they stood before an instant, after a position, by their digests.

    Phase, cycle and activity are those of then; the rest is of now.
    """
    c = journeys.c
    customers, phases, activity, lapse = question.standing

    t = transitions.c
    # The last one before the instant.
    move = (
        select(t.at_us, t.kind, t.to_phase, t.cycle, t.rule)
        .where(t.customer == c.customer, t.model == question.generation, t.at_us < at_us)
        .order_by(t.at_us.desc(), t.place.desc(), t.message_id.desc(), t.actor.desc(), t.kind.desc())
        .limit(1)
        .lateral("move")
    )
    phase = func.coalesce(move.c.to_phase, UNPLACED)
    is_lapsed = func.coalesce(move.c.kind == LAPSE, False)
    is_churned = and_(is_lapsed, move.c.rule == CHURNED_NAME)
    conditions = [
        c.model == question.generation,
        c.first_us < at_us,
        # Whoever stood in a phase then has had it; spares looking further.
        c.highest_phase >= min(phases, default=UNPLACED + 1),
        _in_phases(phase, phases),
    ]
    conditions += counted_journeys(question.generation, customers)
    if activity is not None:
        conditions.append(is_lapsed if activity == "lapsed" else ~is_lapsed)
    if lapse is not None:
        conditions.append(is_churned if lapse == "churned" else and_(is_lapsed, ~is_churned))
    cycle = func.coalesce(move.c.cycle, 1)
    conditions += question.cycles.conditions(cycle)
    if after is not None:
        conditions.append(c.customer > after.customer)
    then = {
        "phase": phase,
        "cycle": cycle,
        "lapsed_us": case((is_lapsed, move.c.at_us), else_=0),
        "entered_us": case((is_lapsed, 0), else_=func.coalesce(move.c.at_us, c.first_us)),
        "flags": case((is_churned, CHURNED), else_=0),
    }
    query = (
        select(*_columns(then))
        .select_from(journeys.outerjoin(move, true()))
        .where(*conditions)
        .order_by(c.customer)
        .limit(count)
    )
    return [_row(row) for row in await connection.execute(query)]


def _columns(then: dict[str, Any] | None = None) -> list[ColumnElement[Any]]:
    """What a row is made of; `then` replaces fields of the journey."""
    c = journeys.c
    fields = dict.fromkeys(Journey._fields) | {name: literal(value) for name, value in _NOT_READ.items()} | (then or {})
    return [
        c.customer,
        c.id,
        c.orders,
        *((c[name] if value is None else value.label(name)) for name, value in fields.items()),
    ]


def _row(row: Sequence[Any]) -> CustomerRow:
    return CustomerRow(row[0], row[1], row[2], Journey(*row[3:]))


def _day(at_us: int) -> int:
    """As PostgreSQL divides: towards zero."""
    return at_us // DAY_US if at_us >= 0 else -(-at_us // DAY_US)


def _in_phases(phase: ColumnElement[int], phases: Sequence[int]) -> ColumnElement[bool]:
    return phase.in_(phases) if phases else phase > UNPLACED


def _conditions(model: Model, question: CustomersQuestion) -> list[ColumnElement[bool]]:
    """All conditions but that on the phase."""
    c = journeys.c
    customers, _, activity, lapse = question.standing
    conditions = [
        c.model == question.generation,
        *counted_journeys(question.generation, customers),
        *question.entered.conditions(c.entered_us),
        *question.seen.conditions(c.last_us),
        *question.orders.conditions(c.orders),
        *question.cycles.conditions(c.cycle),
    ]
    if question.seen.first is not None:
        conditions.append(c.last_day >= _day(question.seen.first))
    if question.seen.end is not None:
        conditions.append(c.last_day <= _day(question.seen.end))
    if activity is not None or lapse is not None:
        is_lapsed = c.lapsed_us != 0
        conditions.append(~is_lapsed if activity == "active" else is_lapsed)
    if lapse is not None:
        is_churned = c.flags.bitwise_and(CHURNED) != 0
        conditions.append(and_(c.lapsed_us != 0, is_churned if lapse == "churned" else ~is_churned))
    if question.lapsing_until_us is not None:
        conditions += _lapsing(model, question.lapsing_until_us)
    if question.campaigns:
        campaigns = ["" if name == NONE else name for name in question.campaigns]
        conditions += [func.split_part(c.trail, SEPARATOR, FIELDS["campaign"]).in_(campaigns), c.phase > UNPLACED]
    return conditions


def _lapsing(model: Model, until_us: int) -> list[ColumnElement[bool]]:
    """Active customers who lapse before an instant unless they do something (`due_in` of `journey/lapse.py`)."""
    c = journeys.c
    is_emptied = c.flags.bitwise_and(EMPTIED) != 0
    silent_us = c.active_us + case(
        *((and_(c.phase == phase.number, is_emptied), phase.emptied_window_us) for phase in model.phases),
        *((c.phase == phase.number, phase.window_us) for phase in model.phases),
    )
    due_us = func.greatest(silent_us, c.last_us + 1)
    return [c.lapsed_us == 0, c.phase > UNPLACED, c.look_us <= until_us, due_us < until_us]
