"""Every table, as SQLAlchemy Core. What each column means stands here; how they are written, in the statement modules.

`touchpoints`, `ids`, `links`, `rulings` are hash-partitioned (and on Citus distributed) by the 16-byte digest of a raw
id, `journeys`, `transitions`, `checkpoints` by that of the customer: the same type, so that they stand side by side.
Every unique key holds that column, and no foreign key points to a table that is written to. Counts, their history and
the offsets stand together on one node, so that one statement over them is a consistent cut. Instants are bigint
microseconds since the epoch (docs/decisions/0002).
"""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from throughline.store.metadata import metadata as metadata
from throughline.store.tables_verdicts import recent_events as recent_events
from throughline.store.tables_verdicts import rejected as rejected
from throughline.store.tables_verdicts import rejected_counts as rejected_counts

HASH_PARTITIONS = 8
"""Partitions of each hash-partitioned table on plain PostgreSQL."""

PHASE_UNPLACED = 0
"""The phase number of a customer no touchpoint has placed; phases of a model count from 1."""


def _id() -> Column[int]:
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def _sorted_text() -> Text:
    # Ids sort by their bytes, as in the fold, whatever the database's collation.
    return Text(collation="C")


# --- who may write and read -------------------------------------------------------------------------------------------

workspaces = Table(
    "workspaces",
    metadata,
    _id(),
    Column("name", Text, nullable=False, unique=True),
    Column("time_zone", Text, nullable=False, server_default=text("'UTC'")),
    Column("created_us", BigInteger, nullable=False),
    Column("version", BigInteger, nullable=False, server_default=text("0")),  # of the models applied; staging holds it
    Column("default_model", Text, nullable=False, server_default=text("'seven_phase'")),
    Column("retention_days", Integer),  # how long facts are kept; null: for ever
    Column("horizon_us", BigInteger),  # facts that occurred before it are gone
)

sources = Table(
    "sources",
    metadata,
    _id(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("enabled", Boolean, nullable=False, server_default=text("true")),
    Column("created_us", BigInteger, nullable=False),
    Column("app_id", Text, unique=True),  # names the source where a client has no key to send
    Column("origins", ARRAY(Text)),  # the only websites whose browsers may send; null: any
    Column("consent", Text, nullable=False, server_default=text("'off'")),  # off, drop or aggregate
    Column("ip", Text, nullable=False, server_default=text("'shorten'")),  # shorten, drop or keep
    Column("rate_events", Integer),  # a second, of each key; null: as ingest is set
    Column("rate_burst", Integer),
    Column("webhook_secret", Text),  # what a store signs its webhooks with
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
    Column("expires_us", BigInteger),  # a rotated key goes on until then
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

# A generation of a phase model as applied in one workspace. Its journeys, transitions and counts carry its id.
# live: served and staged; building: staged, and restaged by `restage_slots` until it is whole.
models = Table(
    "models",
    metadata,
    _id(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'live'")),
    Column("document", Text),  # the model's own file; null: the one shipped under that name
    Column("created_us", BigInteger, nullable=False),
)
Index("models_live", models.c.workspace, models.c.name, unique=True, postgresql_where=models.c.state == "live")
Index("models_building", models.c.workspace, models.c.name, unique=True, postgresql_where=models.c.state == "building")

# How far a generation is restaged: one row for each first half-byte of the customer digests.
restage_slots = Table(
    "restage_slots",
    metadata,
    Column("model", BigInteger, nullable=False),
    Column("slot", SmallInteger, nullable=False),
    Column("cursor", LargeBinary, nullable=False),  # ids up to it are done
    Column("done", Boolean, nullable=False),
    Column("customers", BigInteger, nullable=False),
    Column("touchpoints", BigInteger, nullable=False),
    PrimaryKeyConstraint("model", "slot"),
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
    Column("bot", Boolean, nullable=False),  # kept out of every journey
    Column("attribution", Text),  # where it came from and by what device: one JSON object, as text; null: nothing known
    PrimaryKeyConstraint("actor", "message"),
    postgresql_partition_by="HASH (actor)",
)
Index("touchpoints_by_time", touchpoints.c.actor, touchpoints.c.occurred_us)

# Every raw id that a fact was sent under, and whom it belongs to. Locked before anything of it is read.
ids = Table(
    "ids",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False),  # digest of (workspace, name)
    Column("name", Text, nullable=False),
    Column("is_user", Boolean, nullable=False),  # it was a user id in some fact
    Column("joined", Boolean, nullable=False),  # some other id belongs or has belonged to it
    Column("linked", Boolean, nullable=False),  # `links` has rows of it
    Column("owner", LargeBinary),  # digest of the id it belongs to; null: a customer of its own
    Column("link_us", BigInteger),  # the link by which it does
    Column("link_message", Text),
    Column("link_by", SmallInteger),
    PrimaryKeyConstraint("workspace", "id"),
    postgresql_partition_by="HASH (id)",
)
Index("ids_by_owner", ids.c.owner, postgresql_where=ids.c.owner.is_not(None))

# Every pair of ids that facts have linked, by the first link of each kind.
links = Table(
    "links",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("owner", LargeBinary, nullable=False),
    Column("by", SmallInteger, nullable=False),  # 1 an event with both ids, 2 an alias
    Column("occurred_us", BigInteger, nullable=False),
    Column("message_id", _sorted_text(), nullable=False),
    PrimaryKeyConstraint("id", "owner", "by"),
    postgresql_partition_by="HASH (id)",
)

# What operators said of a pair: the last word.
rulings = Table(
    "rulings",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("owner", LargeBinary, nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("message_id", _sorted_text(), nullable=False),
    Column("void", Boolean, nullable=False),
    PrimaryKeyConstraint("id", "owner"),
    postgresql_partition_by="HASH (id)",
)

# --- derived: recomputable from the facts -----------------------------------------------------------------------------


# What `Journey` (throughline/journey/state.py) keeps.
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
        Column("last_message", _sorted_text(), nullable=False),
        Column("last_actor", _sorted_text(), nullable=False),
        Column("memory", Text, nullable=False),
    ]


# The current journey of each customer under each model. fillfactor leaves room for HOT updates: no indexed column
# changes with an event, `phase` only with a transition, `look_us` once a window.
journeys = Table(
    "journeys",
    metadata,
    Column("customer", LargeBinary, nullable=False),  # digest of (workspace, customer id)
    Column("model", BigInteger, nullable=False),
    Column("id", Text, nullable=False),  # the customer id
    *_state(),
    Column("look_us", BigInteger, nullable=False),  # when to look for a lapse: at it or later it is due
    Column("since", Integer, nullable=False),  # touchpoints folded since the last checkpoint
    PrimaryKeyConstraint("customer", "model"),
    postgresql_partition_by="HASH (customer)",
)
Index("journeys_by_phase", journeys.c.model, journeys.c.phase, journeys.c.customer)
Index("journeys_by_look", journeys.c.look_us, journeys.c.customer)

# A journey as it stood after some touchpoint: where a late event's fold starts.
checkpoints = Table(
    "checkpoints",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    *_state(),
    PrimaryKeyConstraint("customer", "model", "last_us", "last_message", "last_actor"),
    postgresql_partition_by="HASH (customer)",
)

transitions = Table(
    "transitions",
    metadata,
    Column("customer", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("message_id", _sorted_text(), nullable=False),  # the touchpoint that caused it; '' for a lapse by the clock
    Column("actor", _sorted_text(), nullable=False),  # that touchpoint's
    Column("kind", SmallInteger, nullable=False),  # 1 enter, 2 return, 3 lapse
    Column("from_phase", SmallInteger, nullable=False),
    Column("to_phase", SmallInteger, nullable=False),
    Column("cycle", Integer, nullable=False),
    Column("name", Text, nullable=False),  # the touchpoint's event name
    Column("rule", Text, nullable=False),  # the model's rule that placed it
    PrimaryKeyConstraint("customer", "model", "at_us", "message_id", "actor", "kind"),
    postgresql_partition_by="HASH (customer)",
)

# Snapshots: what is left of an id's facts before the retention cutoff (throughline/journey/snapshot.py). `actor` was a
# customer of its own then; `transitions` are those that led to the state, as JSON.
bases = Table(
    "bases",
    metadata,
    Column("actor", LargeBinary, nullable=False),
    Column("model", BigInteger, nullable=False),
    *_state(),
    Column("transitions", Text, nullable=False),
    PrimaryKeyConstraint("actor", "model"),
    postgresql_partition_by="HASH (actor)",
)

# How far the facts before a workspace's retention cutoff are deleted: one row for each first half-byte of the digests.
horizon_slots = Table(
    "horizon_slots",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("slot", SmallInteger, nullable=False),
    Column("cursor", LargeBinary, nullable=False),  # ids up to it are done
    Column("done", Boolean, nullable=False),
    Column("touchpoints", BigInteger, nullable=False),  # gone at this cutoff
    PrimaryKeyConstraint("workspace", "slot"),
)

# --- sums and positions: together on one node -------------------------------------------------------------------------


def _counts() -> list[Column[int]]:
    return [Column(name, BigInteger, nullable=False) for name in COUNTS]


COUNTS = ("active", "lapsed", "churned", "entered", "left", "returned")
"""As in `throughline/journey/diff.py`."""

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
    Column("bucket_us", BigInteger, nullable=False),  # its start
    Column("shard", Integer, nullable=False),
    Column("source", BigInteger, nullable=False),
    Column("channel", Text, nullable=False),
    Column("phase", SmallInteger, nullable=False),
    *_counts(),
    PrimaryKeyConstraint("model", "step", "bucket_us", "shard", "source", "channel", "phase"),
    postgresql_with={"fillfactor": "50"},
)

# Events whose name the model's vocabulary does not know.
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

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the record before next_offset; empty at the start
    Column("through_us", BigInteger, nullable=False),  # everything received before this instant is in the state
    Column("swept_us", BigInteger, nullable=False),  # lapses due by this instant are, among this partition's customers
    PrimaryKeyConstraint("topic", "partition"),
    postgresql_with={"fillfactor": "50"},
)
