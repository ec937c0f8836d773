"""Statements over referral codes: who claimed them, who came with them, and what these customers did."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from sqlalchemy import ARRAY, LargeBinary, bindparam
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import (
    IN_JOURNEYS,
    KIND_OF,
    KINDS,
    customers_parameters,
    customers_sql,
    kind_table,
    statement,
)
from services.api.shared.days import Days
from services.api.shared.money import OrderSums
from services.api.shared.queries import CustomerFilter
from services.api.voice.queries import EXPRESSIONS
from throughline.analytics.referrals import Arrival, Network, Referral, network
from throughline.journey.durations import DAY_US
from throughline.journey.funnel import EDGES_US
from throughline.journey.model import Kind, Model
from throughline.store.digest import id_digest
from throughline.store.schema.facts import HAS_REFERRAL_CODE

MAX_ARRIVALS = 100_000
"""Maximum number of customers with a code, and of codes, that one question reads."""

_CODE: Final = "CAST(t.attribution AS json) ->> 'referral_code'"
_SHARE, _INVITE = 1, 2
_INVITES = frozenset(EXPRESSIONS["invites"])


def _marks(word: str, kind: Kind) -> int:
    return 0 if kind.name != "share" else _INVITE | _SHARE if word in _INVITES else _SHARE


# A code of a share's own properties, or of an identify call's traits, is one that the customer passes on: every fact
# that names one has it in its attribution, too, and so is in the index.
_OWN_CODE: Final = """
    CASE WHEN NOT ((k.marks > 0 OR t.call = 'identify') AND pg_input_is_valid(t.rest, 'jsonb')) THEN NULL
    WHEN t.call = 'identify' THEN coalesce(
        CAST(t.rest AS jsonb) -> 'traits' ->> 'referral_code',
        CAST(t.rest AS jsonb) -> 'traits' ->> 'referralCode'
    ) ELSE coalesce(
        CAST(t.rest AS jsonb) -> 'properties' ->> 'referral_code',
        CAST(t.rest AS jsonb) -> 'properties' ->> 'referralCode',
        CAST(t.rest AS jsonb) -> 'properties' ->> 'code'
    ) END
"""
_CODED: Final = f"""
    coded AS MATERIALIZED (
        SELECT i.root AS customer, i.name AS actor, t.occurred_us, t.place, t.message_id, {_CODE} AS code,
            {_OWN_CODE} IS NOT NULL AS is_claim
        FROM touchpoints t JOIN ids i ON i.id = t.actor AND i.workspace = :workspace {KIND_OF}
        WHERE {HAS_REFERRAL_CODE} AND {IN_JOURNEYS}
    )
"""
_ORDER: Final = 'c.occurred_us, c.place, c.message_id COLLATE "C", c.actor COLLATE "C"'


class Claims(NamedTuple):
    """Who claimed codes."""

    owners: dict[str, bytes]
    """Code -> the customer who did so first."""
    since_us: dict[str, int]
    """Code -> when that was."""
    contested: list[Referral]
    """Of each code that another customer claimed, too: who did so first after its owner, by time."""


async def read_claims(connection: AsyncConnection, workspace: int, model: Model) -> Claims | None:
    """Returns who claimed codes; None: there are too many."""
    rows = (
        await connection.execute(
            statement(f"""
                WITH {KINDS}, {_CODED}, firsts AS (
                    SELECT DISTINCT ON (c.code, c.customer) c.* FROM coded c WHERE c.is_claim
                    ORDER BY c.code, c.customer, {_ORDER}
                )
                SELECT c.code, (array_agg(c.customer ORDER BY {_ORDER}))[1], min(c.occurred_us),
                    (array_agg(c.customer ORDER BY {_ORDER}))[2], (array_agg(c.occurred_us ORDER BY {_ORDER}))[2]
                FROM firsts c GROUP BY c.code LIMIT :count
            """),
            {**kind_table(model, _marks).parameters, "workspace": workspace, "count": MAX_ARRIVALS + 1},
        )
    ).all()
    if len(rows) > MAX_ARRIVALS:
        return None
    return Claims(
        {code: owner for code, owner, *_ in rows},
        {code: since_us for code, _, since_us, *_ in rows},
        sorted(
            (Referral(at_us, other, owner, code) for code, owner, _, other, at_us in rows if other is not None),
            key=lambda each: (each.at_us, each.customer, each.code),
        ),
    )


async def read_arrivals(
    connection: AsyncConnection, workspace: int, generation: int, model: Model, customers: CustomerFilter
) -> list[Arrival] | None:
    """Returns the first code of each customer who came with one before its first order; None: there are too many."""
    rows = (
        await connection.execute(
            statement(f"""
                WITH {KINDS}, {_CODED}
                SELECT DISTINCT ON (c.customer) c.occurred_us, c.customer, c.code
                FROM coded c JOIN journeys j ON j.customer = c.customer AND {customers_sql(customers)}
                LEFT JOIN LATERAL (
                    SELECT min(o.at_us) AS at_us FROM conversions o WHERE o.customer = c.customer AND o.model = :model
                ) first ON true
                WHERE NOT c.is_claim AND (first.at_us IS NULL OR c.occurred_us < first.at_us)
                ORDER BY c.customer, {_ORDER} LIMIT :count
            """),
            {
                **customers_parameters(generation, customers),
                **kind_table(model, _marks).parameters,
                "workspace": workspace,
                "count": MAX_ARRIVALS + 1,
            },
        )
    ).all()
    return None if len(rows) > MAX_ARRIVALS else [Arrival(*row) for row in rows]


async def read_network(
    connection: AsyncConnection, workspace: int, generation: int, model: Model, customers: CustomerFilter
) -> tuple[Network, Claims] | None:
    """Returns who brought whom; None: there are too many codes or customers with one.

    Args:
        connection: where to read.
        workspace: whose codes.
        generation: whose customers.
        model: says what a share is.
        customers: who came.
    """
    claims = await read_claims(connection, workspace, model)
    arrivals = await read_arrivals(connection, workspace, generation, model, customers)
    if claims is None or arrivals is None:
        return None
    owners = claims.owners | await _customers_named(
        connection, workspace, {each.code for each in arrivals} - claims.owners.keys()
    )
    return network(owners, arrivals), claims


async def _customers_named(connection: AsyncConnection, workspace: int, codes: Collection[str]) -> dict[str, bytes]:
    """Code -> the customer with that id: `referred_by` may name one."""
    names = {id_digest(workspace, code): code for code in codes}
    rows = await connection.execute(
        statement("SELECT id, root FROM ids WHERE id = ANY(:some)").bindparams(
            bindparam("some", type_=ARRAY(LargeBinary))
        ),
        {"some": list(names)},
    )
    return {names[digest]: root for digest, root in rows}


class Person(NamedTuple):
    """A customer, and how far it came."""

    id: str
    phase: int
    highest_phase: int
    first_us: int
    orders: int
    reached_us: int | None
    """When it first came to the goal or beyond; None: it has not."""
    ordered_us: int | None
    """When the first of its live orders was placed; None: there is none."""


async def read_people(
    connection: AsyncConnection, generation: int, customers: Collection[bytes], goal: int
) -> Mapping[bytes, Person]:
    """Returns some customers by their digests. `goal`: the number of a phase."""
    rows = await connection.execute(
        statement("""
            SELECT j.customer, j.id, j.phase, j.highest_phase, j.first_us, j.orders, (
                SELECT min(t.at_us) FROM transitions t
                WHERE t.customer = j.customer AND t.model = j.model AND t.kind <> 3 AND t.to_phase >= :goal
            ), (SELECT min(o.at_us) FROM conversions o WHERE o.customer = j.customer AND o.model = j.model)
            FROM journeys j WHERE j.model = :model AND j.customer = ANY(:some)
        """).bindparams(bindparam("some", type_=ARRAY(LargeBinary))),
        {"model": generation, "some": list(customers), "goal": goal},
    )
    return {customer: Person(*person) for customer, *person in rows}


async def read_money(connection: AsyncConnection, generation: int, customers: Sequence[bytes]) -> list[OrderSums]:
    """Returns the orders of some customers, by currency."""
    rows = await connection.execute(
        statement("""
            SELECT currency, count(*), CAST(sum(gross) AS bigint), CAST(sum(net) AS bigint) FROM conversions
            WHERE model = :model AND customer = ANY(:some) GROUP BY currency ORDER BY currency
        """).bindparams(bindparam("some", type_=ARRAY(LargeBinary))),
        {"model": generation, "some": list(customers)},
    )
    return [OrderSums(*row) for row in rows]


class Everybody(NamedTuple):
    """Customers of a span, brought or not."""

    first_seen: int
    """First seen in the span."""
    reached: int
    """Of these, came to the goal."""
    seen: int
    """Were there before the end of the span, and seen since its beginning."""
    invites: int
    """Invitations that customers sent in the span."""
    spells: Mapping[tuple[int, int | None], int]
    """Of those first seen in the span, until the goal (`analytics.referrals.Spells`)."""


async def read_everybody(
    connection: AsyncConnection,
    workspace: int,
    generation: int,
    model: Model,
    days: Days,
    customers: CustomerFilter,
    goal: int,
    now_us: int,
) -> Everybody:
    """Returns the customers of some days, and how many came to the phase `goal` until `now_us`; other arguments as of
    `read_network`."""
    parameters = {
        **customers_parameters(generation, customers),
        "from_us": days.from_us,
        "to_us": days.end_us,
        "goal": goal,
    }
    rows = await connection.execute(
        statement(f"""
            SELECT count(*) FILTER (WHERE first_us >= :from_us),
                count(*) FILTER (WHERE first_us >= :from_us AND highest_phase >= :goal), count(*)
            FROM journeys j WHERE {customers_sql(customers)}
                AND last_day >= CAST(:from_us AS bigint) / {DAY_US} AND last_us >= :from_us AND first_us < :to_us
        """),
        parameters,
    )
    first_seen, reached, seen = rows.one()
    invites = await connection.scalar(
        statement(f"""
            WITH {KINDS}
            SELECT count(DISTINCT (i.root, t.message)) FROM ids i JOIN touchpoints t ON t.actor = i.id
            JOIN journeys j ON j.customer = i.root AND {customers_sql(customers)} {KIND_OF}
            WHERE i.workspace = :workspace AND t.occurred_us >= :from_us AND t.occurred_us < :to_us AND {IN_JOURNEYS}
                AND k.marks >= {_INVITE}
        """),
        {**parameters, **kind_table(model, _marks).parameters, "workspace": workspace},
    )
    spells = await connection.execute(
        statement(f"""
            SELECT width_bucket(greatest(0, :now_us - j.first_us), :edges) - 1, CASE WHEN highest_phase >= :goal THEN (
                SELECT width_bucket(greatest(0, min(t.at_us) - j.first_us), :edges) - 1 FROM transitions t
                WHERE t.customer = j.customer AND t.model = j.model AND t.kind <> 3 AND t.to_phase >= :goal
            ) END, count(*)
            FROM journeys j WHERE {customers_sql(customers)}
                AND last_day >= CAST(:from_us AS bigint) / {DAY_US} AND first_us >= :from_us AND first_us < :to_us
            GROUP BY 1, 2
        """),
        {**parameters, "now_us": now_us, "edges": list(EDGES_US)},
    )
    by_bins = {(seen_until, ended): number for seen_until, ended, number in spells}
    return Everybody(first_seen, reached, seen, int(invites or 0), by_bins)


async def codes_of(connection: AsyncConnection, workspace: int, model: Model, customer: bytes) -> list[str]:
    """Returns up to 50 codes that a customer passed on, in order."""
    rows = await connection.execute(
        statement(f"""
            WITH {KINDS}
            SELECT {_CODE} AS code FROM ids i JOIN touchpoints t ON t.actor = i.id {KIND_OF}
            WHERE i.workspace = :workspace AND i.root = :customer AND {HAS_REFERRAL_CODE} AND {IN_JOURNEYS}
                AND {_OWN_CODE} IS NOT NULL
            GROUP BY 1 ORDER BY min(t.occurred_us), 1 LIMIT 50
        """),
        {**kind_table(model, _marks).parameters, "workspace": workspace, "customer": customer},
    )
    return [code for (code,) in rows]


class ReferralPosition(NamedTuple):
    """The place in a list of referrals."""

    at_us: int
    customer: bytes
    code: str
