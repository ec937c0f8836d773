"""Parts of statements over facts and transitions, and funnel sums divided by what is not kept.

A model maps names to kinds when folding, so that facts hold names: statements over facts map them in the same way, by
the vocabulary as a table of parameters.

Transitions say what the opening of their cycle was (`throughline/journey/trail.py`). Cycles are counted by it in the
cells of the kept sums, so that all that is computed of those holds for these.

Each statement joins whole sets, partition by partition, and counts before it tells ways apart.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    SmallInteger,
    Text,
    TextClause,
    bindparam,
    func,
    literal,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.types import TypeEngine

from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from throughline.analytics.funnel import Count
from throughline.journey.channels import STANDARD_CHANNELS
from throughline.journey.durations import MINUTE_US
from throughline.journey.flows import CYCLE_CLASSES
from throughline.journey.funnel import EDGES_US, ENDED, ENTERED, ENTRY, LAPSED, NEXT, REACHED
from throughline.journey.model import Kind, Model
from throughline.store.admission import CHANNEL, OTHER

KINDS = """
    kinds AS NOT MATERIALIZED (
        SELECT unnest(:kind_calls) AS is_call, unnest(:kind_keys) AS key, unnest(:kind_numbers) AS kind,
            unnest(:kind_own) AS own, unnest(:kind_marks) AS marks
    )
"""
"""A common table of the vocabulary: `marks` is what the question wants to know of a kind. Unlike a materialized table
it may be read in parallel."""

KIND_KEY = "CASE WHEN t.call = 'track' THEN lower(regexp_replace(t.name, '[\\s_-]+', '', 'g')) ELSE t.call END"
"""The key by which the kind of a touchpoint `t` stands in `kinds`."""

KIND_OF = f"""
    CROSS JOIN LATERAL (SELECT {KIND_KEY} AS key OFFSET 0) word
    LEFT JOIN kinds k ON k.is_call = (t.call <> 'track') AND k.key = word.key
"""
"""Joins `kinds` to touchpoints `t`. A subquery, because PostgreSQL remembers what it gives for each name; to compute
the key takes longer than all else."""

BEGINS = "(b.kind = 2 OR b.kind = 1 AND b.from_phase = 0)"
"""Whether a transition `b` is the first of its cycle."""

IN_JOURNEYS = "NOT t.bot AND NOT t.test AND t.call <> 'unlink' AND t.call <> 'relink'"
"""Whether a touchpoint `t` is folded."""


class KindTable(NamedTuple):
    """The parameters of `KINDS`."""

    kinds: tuple[Kind, ...]
    """By number."""
    parameters: dict[str, Any]

    def words(self, kind: str) -> list[tuple[bool, str]]:
        """Returns the calls and names that mean a kind: whether it is a call, and its key."""
        columns = (self.parameters[name] for name in ("kind_calls", "kind_keys", "kind_numbers"))
        rows = zip(*columns, strict=True)
        return [(is_call, key) for is_call, key, number in rows if self.kinds[number].name == kind]


def kind_table(model: Model, marks: Callable[[str, Kind], int]) -> KindTable:
    """Returns a model's vocabulary as parameters.

    Args:
        model: whose kinds.
        marks: what the question wants to know, as bits: of a name (a call for kinds by call) and its kind.
    """
    words = [*((True, call, kind) for call, kind in model.calls.items())]
    words += [(False, name, kind) for name, kind in model.names.items()]
    kinds = tuple({kind.name: kind for _, _, kind in words}.values())
    numbers = {kind.name: number for number, kind in enumerate(kinds)}
    return KindTable(
        kinds,
        {
            "kind_calls": [is_call for is_call, _, _ in words],
            "kind_keys": [word for _, word, _ in words],
            "kind_numbers": [numbers[kind.name] for _, _, kind in words],
            "kind_own": [kind.by_customer for _, _, kind in words],
            "kind_marks": [marks(word, kind) for _, word, kind in words],
        },
    )


_ARRAYS: Mapping[str, type[TypeEngine[Any]]] = {
    "kind_calls": Boolean,
    "kind_keys": Text,
    "kind_numbers": SmallInteger,
    "kind_own": Boolean,
    "kind_marks": BigInteger,
    "sources": BigInteger,
    "channels": Text,
    "value_sources": BigInteger,
    "value_channels": Text,
    "standard_channels": Text,
    "starts": BigInteger,
    "edges": BigInteger,
    "values": Text,
    "touch_channels": Text,
    "goal_calls": Text,
    "goal_names": Text,
    **{f"{what}_{ending}s": Text for what in ("foreign", "at", "beyond", "friction") for ending in ("name", "call")},
    "friction_name_letters": Text,
    "friction_call_letters": Text,
}
_INTEGERS = (
    "model", "workspace", "phase", "from_us", "to_us", "mature_until_us", "after_us", "after_cycle", "count", "goal",
    "since_us", "lookback_us", "kind", "from_phase", "to_phase", "first_cycle", "last_cycle", "phases", "ending",
    "until_us", "age_us",
)  # fmt: skip
"""PostgreSQL would take them for integers of 32 bits beside numbers as small."""


def statement(sql: str) -> TextClause:
    """Returns a statement whose parameters have the types of their names."""
    clause = text(sql)
    named = clause.compile().params
    return clause.bindparams(
        *(bindparam(name, type_=ARRAY(type_)) for name, type_ in _ARRAYS.items() if name in named),
        *(bindparam(name, type_=BigInteger) for name in _INTEGERS if name in named),
    )


Opening = Literal["campaign", "device", "cycle"]
"""A dimension of a cycle's opening."""
NONE = "(none)"
"""The value of cycles whose opening names none."""
MAX_VALUES = 20
"""Maximum number of values; the smaller ones are `(other)` together."""
MAX_VALUE = 200
"""Maximum number of characters of a value."""
WORK_MEM = "32MB"
"""Memory for each sort or join of an asked question; beyond it PostgreSQL goes to disk."""
VISIT_US = 30 * MINUTE_US
"""A silence after which the next touchpoint opens a visit."""


class ValueFilter(NamedTuple):
    """Those counted under some values of a dimension, or under any others."""

    opening: Opening | None = None
    """The dimension of the cycle's opening; None: `customers` has the values."""
    values: tuple[str, ...] = ()
    customers: CustomerFilter = CustomerFilter()
    is_other: bool = False

    @property
    def comparison(self) -> str:
        """Compares a value with the array `:values`."""
        return "<> ALL(:values)" if self.is_other else "= ANY(:values)"


FACTS: Mapping[Opening, str] = {
    "campaign": "CAST(t.attribution AS json) ->> 'campaign'",
    "device": "CAST(t.attribution AS json) -> 'device' ->> 'type'",
}


def customers_sql(customers: CustomerFilter, prefix: str = "") -> str:
    """Returns the condition on a journey `j` that its customer is counted under a source and a channel.

    `prefix`: of the names of its parameters.
    """
    conditions = ["j.model = :model"]
    if customers.sources:
        conditions.append(f"j.source = ANY(:{prefix}sources)")
    if customers.channels:
        conditions.append(
            "CASE WHEN j.channel = ANY(:standard_channels) OR EXISTS (SELECT FROM admitted_names a "
            "WHERE a.kind = :channel_kind AND a.model = :model AND a.name = j.channel) "
            f"THEN j.channel ELSE :other END = ANY(:{prefix}channels)"
        )
    return " AND ".join(conditions)


def customers_parameters(generation: int, customers: CustomerFilter, prefix: str = "") -> dict[str, Any]:
    """Returns the parameters of `customers_sql`."""
    parameters: dict[str, Any] = {"model": generation}
    if customers.sources:
        parameters[f"{prefix}sources"] = list(customers.sources)
    if customers.channels:
        parameters |= {
            f"{prefix}channels": list(customers.channels),
            "standard_channels": sorted(STANDARD_CHANNELS),
            "channel_kind": CHANNEL,
            "other": OTHER,
        }
    return parameters


def join_counted(customers: CustomerFilter, row: str = "e") -> str:
    """Returns a join that leaves those rows whose customer is counted; "" where everybody is."""
    if customers.is_everybody:
        return ""
    return f"JOIN journeys j ON j.customer = {row}.customer AND {customers_sql(customers)}"


async def prepare_to_ask(connection: AsyncConnection, **more: str) -> None:
    """Have PostgreSQL plan the statements of this transaction for their values, and join partition by partition.

    Args:
        connection: where they are sent.
        more: further settings of PostgreSQL, by name.
    """
    settings = {"plan_cache_mode": "force_custom_plan", "enable_partitionwise_join": "on", "work_mem": WORK_MEM} | more
    await connection.execute(select(*(func.set_config(name, value, literal(True)) for name, value in settings.items())))


_CLASS: Final = f"CASE WHEN e.cycle < {CYCLE_CLASSES} THEN CAST(e.cycle AS text) ELSE '{CYCLE_CLASSES}+' END"
"""The class of a cycle."""
_WAYS: Final = f"""
    SELECT {REACHED} + passed AS way FROM generate_series(m.from_phase + 1, m.to_phase) passed WHERE m.kind = 1
    UNION ALL SELECT {ENTERED} + m.to_phase WHERE m.kind = 1
    UNION ALL SELECT {NEXT} + m.to_phase WHERE m.kind = 1 AND m.from_phase = :phase
    UNION ALL SELECT CASE WHEN m.silent THEN {LAPSED} ELSE {ENDED} END + m.to_phase WHERE m.kind = 3
"""
"""The ways on that transitions `m` are, of an entry before them into the phase."""


def opening_sql(by: Opening) -> str:
    """Returns the value of a dimension of the opening of the cycle of an entry `e`."""
    return _CLASS if by == "cycle" else f"CASE WHEN e.{by} = '' THEN '{NONE}' ELSE e.{by} END"


async def count_by_opening(
    connection: AsyncConnection,
    generation: int,
    phase: int,
    days: Days,
    customers: CustomerFilter,
    by: Opening,
    values: Sequence[str] | None = None,
) -> dict[int | str | None, list[Count]]:
    """Returns the sums of the cycles that entered a phase in some days, by value of a dimension of their opening.

    Args:
        connection: where to read.
        generation: whose.
        phase: the phase that was come to.
        days: the days of entry.
        customers: whose.
        by: the dimension.
        values: those to tell apart; None: the most frequent. All others are `(other)` together.
    """
    value, largest, join = "value", "", ""
    if by != "cycle":  # there may be more values than are shown
        value, join = "largest.value", "LEFT JOIN largest USING (value)"
        frequent = f'value FROM entries GROUP BY 1 ORDER BY sum(number) DESC, value COLLATE "C" LIMIT {MAX_VALUES}'
        largest = f"largest AS MATERIALIZED (SELECT {frequent if values is None else 'unnest(:values) AS value'}),"
    # Entries are read for each use: to write them down takes longer.
    query = statement(f"""
        WITH e AS NOT MATERIALIZED (
            SELECT e.customer, e.cycle, e.at_us AS entered_us, {opening_sql(by)} AS value,
                width_bucket(e.at_us, :starts) AS day
            FROM transitions e {join_counted(customers)}
            WHERE e.model = :model AND e.kind <> 3 AND e.to_phase = :phase AND e.at_us >= :from_us AND e.at_us < :to_us
        ), entries AS (
            SELECT value, day, count(*) AS number FROM e GROUP BY 1, 2
        ), {largest} m AS (
            SELECT e.value, e.day, m.kind, m.from_phase, m.to_phase, m.message_id = '' AS silent,
                width_bucket(m.at_us - e.entered_us, :edges) AS age, count(*) AS number
            FROM e JOIN transitions m ON m.customer = e.customer AND m.model = :model AND m.cycle = e.cycle
                AND (m.kind = 3 OR m.from_phase >= :phase)
            GROUP BY 1, 2, 3, 4, 5, 6, 7
        )
        SELECT {value}, day, {ENTRY} AS way, 1 AS age, CAST(sum(number) AS bigint) FROM entries {join} GROUP BY 1, 2
        UNION ALL
        SELECT {value}, m.day, ways.way, m.age, CAST(sum(m.number) AS bigint)
        FROM m {join} CROSS JOIN LATERAL ({_WAYS}) ways GROUP BY 1, 2, 3, 4
    """)
    await prepare_to_ask(connection)
    rows = await connection.execute(
        query,
        customers_parameters(generation, customers)
        | {
            "phase": phase,
            "from_us": days.from_us,
            "to_us": days.end_us,
            "starts": list(days.starts),
            "edges": list(EDGES_US),
            **({} if values is None else {"values": list(values)}),
        },
    )
    counts: dict[int | str | None, list[Count]] = {}
    for value, day, way, age, number in rows:
        counts.setdefault(OTHER if value is None else value, []).append(
            Count(days.starts[day - 1], phase, way, age - 1, number)
        )
    return counts


def marked_facts_sql(customers: CustomerFilter) -> str:
    """Returns a common table `facts`: touchpoints of some days whose kind has marks, each message of a customer once.

    `word` is the event's name (of other calls the call) as models compare it. `properties` is NULL where PostgreSQL
    cannot read them: it takes neither NUL nor half of a surrogate pair.
    """
    return f"""
        facts AS (
            SELECT f.*, CASE WHEN pg_input_is_valid(rest, 'jsonb') THEN CAST(rest AS jsonb) -> 'properties' END
                AS properties
            FROM (
                SELECT i.root AS customer, i.name AS actor, j.id, t.occurred_us, t.place, t.message_id, t.channel,
                    t.product_id, t.score, t.rating, t.attribution, t.rest, k.marks,
                    {KIND_KEY} AS word, row_number() OVER (
                        PARTITION BY i.root, t.message ORDER BY t.occurred_us, t.place, i.name COLLATE "C"
                    ) AS nth
                FROM ids i JOIN touchpoints t ON t.actor = i.id
                JOIN journeys j ON j.customer = i.root AND {customers_sql(customers)} {KIND_OF}
                WHERE i.workspace = :workspace AND t.occurred_us >= :from_us AND t.occurred_us < :to_us
                    AND {IN_JOURNEYS} AND k.marks > 0
            ) f WHERE nth = 1
        )
    """
