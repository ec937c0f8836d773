"""Every table, as SQLAlchemy Core. What each column means stands here; how they are written, in the statement modules.

Three tables are hash-partitioned (and on Citus distributed) by a 16-byte digest of the same type: `touchpoints` by the
actor, `journeys` and `transitions` by the customer. Every unique key holds that column, and no foreign key points to a
table that is written to. `phase_counts` and `offsets` stand together on one node, so that one statement over both is
a consistent cut. Instants are bigint microseconds since the epoch (docs/decisions/0002).
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData()

HASH_PARTITIONS = 8
"""Partitions of each hash-partitioned table on plain PostgreSQL."""

PHASE_UNPLACED = 0
"""The phase number of a customer no touchpoint has placed; phases of a model count from 1."""


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


# --- who may write and read -------------------------------------------------------------------------------------------

workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
    Column("created_us", BigInteger, nullable=False),
)

sources = Table(
    "sources",
    metadata,
    _id(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("workspace", "name"),
)

write_keys = Table(
    "write_keys",
    metadata,
    _id(),
    Column("digest", LargeBinary, nullable=False, unique=True),  # SHA-256 of the key; the key itself is shown once
    Column("hint", Text, nullable=False),  # its first characters, to tell keys apart in a list
    Column("source", BigInteger, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)

read_tokens = Table(
    "read_tokens",
    metadata,
    _id(),
    Column("digest", LargeBinary, nullable=False, unique=True),
    Column("hint", Text, nullable=False),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("revoked_us", BigInteger),
)

# A phase model as applied in one workspace. Its journeys, transitions and counts carry its id.
models = Table(
    "models",
    metadata,
    _id(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    UniqueConstraint("workspace", "name"),
)

# --- facts ------------------------------------------------------------------------------------------------------------

touchpoints = Table(
    "touchpoints",
    metadata,
    Column("actor", LargeBinary, nullable=False),  # digest of (workspace, actor id)
    Column("message", LargeBinary, nullable=False),  # digest of (actor, message id)
    Column("occurred_us", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("user_id", Text),  # raw ids, as sent
    Column("anonymous_id", Text),
    Column("previous_id", Text),
    Column("order_id", Text),
    Column("value", Double),
    Column("currency", Text),
    Column("rating", Double),
    Column("score", Double),
    Column("product_id", Text),
    Column("quantity", Double),
    Column("rest", Text, nullable=False),  # everything else as sent: one JSON object, as text
    PrimaryKeyConstraint("actor", "message"),
    postgresql_partition_by="HASH (actor)",
)

# --- derived: recomputable from the facts -----------------------------------------------------------------------------

# The current journey of each customer under each model. fillfactor leaves room for HOT updates: no indexed column
# changes with an event, `phase` only with a transition.
journeys = Table(
    "journeys",
    metadata,
    Column("customer", LargeBinary, nullable=False),  # digest of (workspace, customer id)
    Column("model", BigInteger, nullable=False),
    Column("id", Text, nullable=False),  # the customer id
    Column("phase", SmallInteger, nullable=False),
    Column("highest_phase", SmallInteger, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("entered_us", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),  # of the first touchpoint
    Column("channel", Text, nullable=False),  # of the first touchpoint
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    Column("last_message", Text, nullable=False),
    Column("last_actor", Text, nullable=False),
    Column("transitions", Integer, nullable=False),
    Column("memory", Text, nullable=False),  # what the guards remember, JSON; '' when nothing
    PrimaryKeyConstraint("customer", "model"),
    postgresql_partition_by="HASH (customer)",
)
Index("journeys_by_phase", journeys.c.model, journeys.c.phase, journeys.c.customer)

transitions = Table(
    "transitions",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),  # 0, 1, ... in the order of the journey
    Column("at_us", BigInteger, nullable=False),
    Column("from_phase", SmallInteger, nullable=False),
    Column("to_phase", SmallInteger, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("message_id", Text, nullable=False),  # the touchpoint that caused it
    Column("name", Text, nullable=False),  # that touchpoint's event name
    Column("rule", Text, nullable=False),  # the model's rule that placed it
    PrimaryKeyConstraint("customer", "model", "number"),
    postgresql_partition_by="HASH (customer)",
)

# --- sums and positions: together on one node -------------------------------------------------------------------------

# One row per shard (= Kafka partition): writers never meet. Rows may be negative, their sums cannot.
# Over each sum: entered = active + lapsed + left. Phase 0 counts the unplaced in `active`.
phase_counts = Table(
    "phase_counts",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    Column("active", BigInteger, nullable=False),
    Column("lapsed", BigInteger, nullable=False),
    Column("entered", BigInteger, nullable=False),
    Column("left", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "shard", "source", "channel", "phase"),
    postgresql_with={"fillfactor": "50"},
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the record before next_offset; empty at the start
    Column("through_us", BigInteger, nullable=False),  # everything received before this instant is in the state
    PrimaryKeyConstraint("topic", "partition"),
    postgresql_with={"fillfactor": "50"},
)
