"""Tables of sums over customers, events of unknown names, and refunds that take nothing back; the names of the sums."""

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text

from throughline.journey.diff import COUNTS
from throughline.store.metadata import metadata
from throughline.store.schema.columns import sorted_text


def _counts() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in COUNTS]


# One row per shard (= Kafka partition), so that writers never meet. Rows may be negative, their sums cannot.
# Over each sum: entered = active + lapsed + left. Phase 0 counts the unplaced in `active`.
phase_counts = Table(
    "phase_counts",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    *_counts(),
    PrimaryKeyConstraint("model", "shard", "source", "channel", "phase"),
    postgresql_with={"fillfactor": "50"},
)

# What changed in each minute, hour and day (of the workspace's time zone): their sum over all days is `phase_counts`.
phase_history = Table(
    "phase_history",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("step", SmallInteger, nullable=False),  # 0 minute, 1 hour, 2 day
    Column("bucket_us", BigInteger, nullable=False),  # the start of the step
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    *_counts(),
    PrimaryKeyConstraint("model", "step", "bucket_us", "shard", "source", "channel", "phase"),
    postgresql_with={"fillfactor": "50"},
)

# Events whose name the model's vocabulary does not have.
unmapped = Table(
    "unmapped",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("first_us", BigInteger, nullable=False),
    Column("last_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "shard", "source", "name"),
)

# Refunds and cancellations of orders that their customers never placed, and refunds in another currency than that of
# their order. Rows may be negative, their sums cannot.
orphan_refunds = Table(
    "orphan_refunds",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("foreign_currency", BigInteger, nullable=False, server_default="0"),
    PrimaryKeyConstraint("model", "shard", "source"),
)

# The channels and the unmapped event names that sums are kept by; all others are counted as `(other)`. Rows are never
# deleted but with their generation.
admitted_names = Table(
    "admitted_names",
    metadata,
    Column("kind", SmallInteger, nullable=False),  # 1 a channel, 2 an unmapped event name
    Column("model", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),  # 0 for a channel
    Column("name", sorted_text(), nullable=False),
    PrimaryKeyConstraint("kind", "model", "source", "name"),
)

# How many names are admitted. Whoever admits one holds the row.
admissions = Table(
    "admissions",
    metadata,
    Column("kind", SmallInteger, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("names", Integer, nullable=False),
    PrimaryKeyConstraint("kind", "model", "source"),
)
