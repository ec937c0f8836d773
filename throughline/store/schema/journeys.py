"""Tables of what is derived of a customer, recomputable from the facts: journeys and how they came about."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text

from throughline.store.metadata import metadata
from throughline.store.schema.columns import sorted_text


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
    ]


# The current journey of each customer under each model. What is recomputed aside stands beside it until it is whole,
# in the same tables under the negative number of its model. fillfactor leaves room for HOT updates: no indexed column
# changes with an event, `phase` only with a transition, `look_us` once a window.
journeys = Table(
    "journeys",
    metadata,
    Column("customer", LargeBinary, nullable=False),  # digest of (workspace, customer id)
    Column("model", BigInteger, nullable=False),
    Column("id", Text, nullable=False),  # the customer id
    *_state(),
    Column("look_us", BigInteger, nullable=False),  # the next check for a lapse, which is due then or later
    Column("since", Integer, nullable=False),  # touchpoints folded since the last checkpoint
    PrimaryKeyConstraint("customer", "model"),
    postgresql_partition_by="HASH (customer)",
)
Index("journeys_by_phase", journeys.c.model, journeys.c.phase, journeys.c.customer)
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
    PrimaryKeyConstraint("customer", "model", "at_us", "place", "message_id", "actor", "kind"),
    postgresql_partition_by="HASH (customer)",
)

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
