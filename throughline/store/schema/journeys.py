"""Tables of what is derived of a customer, recomputable from the facts: journeys and how they came about."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Computed,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
)

from throughline.store.metadata import metadata
from throughline.store.schema.columns import sorted_text

# The number of orders that stand, out of a memory's text (`Memory.dump`). Before it stand orphans and foreign
# at most, which are rare: a regular expression costs more than all else of a write.
STANDING_ORDERS = r"""
CASE
    WHEN starts_with(memory, '{"standing":'::text)
    THEN split_part(split_part(substr(memory, 13, 12), ','::text, 1), '}'::text, 1)::integer
    WHEN starts_with(memory, '{"o'::text) OR starts_with(memory, '{"f'::text)
    THEN coalesce(substring(memory, '^\{(?:"[of][a-z]+":\{[^}]*\},)*"standing":(\d+)'::text)::integer, 0)
    ELSE 0
END
"""


# The fields of `Journey` (throughline/journey/state.py) by their names.
def _state() -> list[Column[Any]]:
    return [
        Column("phase", SmallInteger, nullable=False),
        Column("highest_phase", SmallInteger, nullable=False),
        Column("cycle", Integer, nullable=False),
        Column("lapsed_us", BigInteger, nullable=False),
        Column("entered_us", BigInteger, nullable=False),
        Column("active_us", BigInteger, nullable=False),
        Column("flags", SmallInteger, nullable=False),
        Column("source", BigInteger, nullable=False),
        Column("channel", Text, nullable=False),
        Column("first_us", BigInteger, nullable=False),
        Column("last_us", BigInteger, nullable=False),
        Column("last_place", BigInteger, nullable=False),
        Column("last_message", sorted_text(), nullable=False),
        Column("last_actor", sorted_text(), nullable=False),
        Column("memory", Text, nullable=False),
        Column("milestones", Text, nullable=False, server_default=""),
        Column("trail", Text, nullable=False, server_default=""),
    ]


# The current journey of each customer under each model. What is recomputed aside stands beside it until it is whole,
# in the same tables under the negative number of its model. fillfactor leaves room for HOT updates: no indexed column
# changes with an event, `phase` and `entered_us` only with a transition, `look_us` once a window, `last_day` once a
# day, `orders` with an order.
journeys = Table(
    "journeys",
    metadata,
    Column("customer", LargeBinary, nullable=False),  # digest of (workspace, customer id)
    Column("model", BigInteger, nullable=False),
    Column("id", Text, nullable=False),  # the customer id
    *_state(),
    Column("look_us", BigInteger, nullable=False),  # the next check for a lapse, which is due then or later
    Column("since", Integer, nullable=False),  # touchpoints folded since the last checkpoint
    # What lists are sorted and filtered by and would else be in no index: PostgreSQL computes it of the row.
    Column("last_day", Integer, Computed("last_us / 86400000000", persisted=True)),
    Column("orders", Integer, Computed(STANDING_ORDERS, persisted=True)),
    PrimaryKeyConstraint("customer", "model"),
    postgresql_partition_by="HASH (customer)",
)
Index("journeys_by_phase", journeys.c.model, journeys.c.phase, journeys.c.entered_us, journeys.c.customer)
Index("journeys_by_day", journeys.c.model, journeys.c.last_day, journeys.c.customer)
Index("journeys_by_orders", journeys.c.model, journeys.c.orders, postgresql_where=journeys.c.orders > 0)
Index("journeys_by_look", journeys.c.look_us, journeys.c.customer)

# A journey's state after some touchpoint: where the fold of a late event starts.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    *_state(),
    PrimaryKeyConstraint("customer", "model", "last_us", "last_place", "last_message", "last_actor"),
    postgresql_partition_by="HASH (customer)",
)

transitions = Table(
    "transitions",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),  # of the touchpoint that caused it; 0 for a silence
    Column("message_id", sorted_text(), nullable=False),  # likewise; '' for a silence
    Column("actor", sorted_text(), nullable=False),  # likewise
    Column("kind", SmallInteger, nullable=False),  # 1 enter, 2 return, 3 lapse
    Column("from_phase", SmallInteger, nullable=False),
    Column("to_phase", SmallInteger, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("name", Text, nullable=False),  # the event's name
    Column("rule", Text, nullable=False),  # the model's rule that placed the touchpoint
    # Of generations with `has_trails`, as `Transition` says.
    Column("since_us", BigInteger, nullable=False, server_default="0"),
    Column("active_us", BigInteger, nullable=False, server_default="0"),
    Column("device", Text, nullable=False, server_default=""),
    Column("campaign", Text, nullable=False, server_default=""),
    Column("kinds", Text, nullable=False, server_default=""),
    PrimaryKeyConstraint("customer", "model", "at_us", "place", "message_id", "actor", "kind"),
    postgresql_partition_by="HASH (customer)",
)

# The live orders of each customer (throughline/journey/conversions.py), of generations with `has_conversions`.
conversions = Table(
    "conversions",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("order", sorted_text(), nullable=False),  # its id; of one without an id U+001F and the message id
    Column("at_us", BigInteger, nullable=False),  # when it was placed
    Column("gross", BigInteger, nullable=False),  # minor units of the currency
    Column("net", BigInteger, nullable=False),  # less refunds
    Column("currency", Text, nullable=False),  # '' for none: the amounts have four decimals
    PrimaryKeyConstraint("customer", "model", "order"),
    postgresql_partition_by="HASH (customer)",
)
Index("conversions_by_time", conversions.c.model, conversions.c.at_us, conversions.c.customer)

# Snapshots: what is left of an id's facts before the retention cutoff (throughline/journey/snapshot.py). `actor` was a
# customer of its own then; `transitions`: all that led to the state, as JSON.
snapshots = Table(
    "bases",
    metadata,
    Column("actor", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    *_state(),
    Column("transitions", Text, nullable=False),
    PrimaryKeyConstraint("actor", "model"),
    postgresql_partition_by="HASH (actor)",
)

# Journeys that are being recomputed aside, because it would take too long in the transaction that changed them.
recomputations = Table(
    "recomputations",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("workspace", BigInteger, nullable=False),
    Column("marked_us", BigInteger, nullable=False),  # since when
    Column("turn_us", BigInteger, nullable=False),  # when it was last worked on
    Column("changed_us", BigInteger, nullable=False),  # the history has changed from here on since the pass began
    Column("phase", SmallInteger, nullable=False),  # of the pass: a `Phase` (throughline/store/recomputations.py)
    Column("from_us", BigInteger, nullable=False),  # where the pass began
    Column("cursor_us", BigInteger, nullable=False),  # place of the last touchpoint folded in the pass
    Column("cursor_place", BigInteger, nullable=False),
    Column("cursor_message", sorted_text(), nullable=False),
    Column("cursor_actor", sorted_text(), nullable=False),
    Column("milestones", Text, nullable=False),  # after the transitions that the pass has removed or added so far
    PrimaryKeyConstraint("customer", "model"),
    postgresql_partition_by="HASH (customer)",
)
