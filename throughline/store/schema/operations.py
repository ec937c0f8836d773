"""Tables of how far the work has come, and of what operators look at: generations, offsets, refused events."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    text,
)

from throughline.store.metadata import metadata
from throughline.store.schema.columns import identity_column

# A generation of a phase model as applied in one workspace. Its journeys, transitions and counts carry its id.
# live: served and staged; building: staged, and restaged slot by slot until it is whole.
models = Table(
    "models",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("state", Text, nullable=False, server_default=text("'live'")),
    Column("document", Text),  # the model's file; null: the one shipped under that name
    Column("created_us", BigInteger, nullable=False),
    # Whether funnels, flows and variants are kept; not of generations computed before there were any.
    Column("has_funnels", Boolean, nullable=False, server_default=text("true")),
    # Whether conversions are kept; likewise.
    Column("has_conversions", Boolean, nullable=False, server_default=text("true")),
    # Whether trails are; likewise.
    Column("has_trails", Boolean, nullable=False, server_default=text("true")),
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

# How far the facts before a workspace's retention cutoff are deleted: one row for each first half-byte of the digests.
retention_slots = Table(
    "horizon_slots",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("slot", SmallInteger, nullable=False),
    Column("cursor", LargeBinary, nullable=False),  # ids up to it are done
    Column("done", Boolean, nullable=False),
    Column("touchpoints", BigInteger, nullable=False),  # deleted at this cutoff
    PrimaryKeyConstraint("workspace", "slot"),
)

offsets = Table(
    "offsets",
    metadata,
    Column("topic", Text, nullable=False),
    Column("partition", Integer, nullable=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of the record before next_offset; empty at the start
    Column("through_us", BigInteger, nullable=False),  # received watermark: what came before it is in the state
    Column("swept_us", BigInteger, nullable=False),  # applied watermark: so is every lapse due by it
    PrimaryKeyConstraint("topic", "partition"),
    postgresql_with={"fillfactor": "50"},
)

# The last events of each source and partition, in two rings (with warnings, and without), for people who wire up
# an SDK.
recent_events = Table(
    "recent_events",
    metadata,
    Column("source", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("slot", SmallInteger, nullable=False),  # from 32 on: the ring of events with warnings
    Column("number", BigInteger, nullable=False),  # of the event in its ring, from 1
    Column("workspace", BigInteger, nullable=False),
    Column("received_us", BigInteger, nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("actor", Text, nullable=False),
    Column("message_id", Text, nullable=False),
    Column("call", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("channel", Text, nullable=False),
    Column("bot", Boolean, nullable=False),
    Column("warnings", Text, nullable=False),  # codes, with commas between
    PrimaryKeyConstraint("source", "shard", "slot"),
    postgresql_with={"fillfactor": "50"},
)

# A bounded sample of rejected events, the newest; `rejected_counts` counts all of them, and the dropped ones.
rejected = Table(
    "rejected",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace", BigInteger, nullable=False),  # 0 when unknown
    Column("source", BigInteger, nullable=False),  # 0 when unknown
    Column("received_us", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),  # a `RejectionStage`
    Column("code", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("name", Text, nullable=False),  # of the event, when it could be read
    Column("message_id", Text, nullable=False),  # likewise
    Column("payload", LargeBinary, nullable=False),  # the event or record as received
    Column("origin", Text, nullable=False),  # stager: topic/partition/offset of the record
    Column("request", Text, nullable=False, server_default=""),  # ingest: method and path
    Column("record", Text, nullable=False, server_default=""),  # partition/offset in the rejected topic
)
Index("rejected_by_time", rejected.c.workspace, rejected.c.received_us, rejected.c.id)
Index("rejected_by_source", rejected.c.workspace, rejected.c.source, rejected.c.received_us, rejected.c.id)

rejected_counts = Table(
    "rejected_counts",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("bucket_us", BigInteger, nullable=False),  # the start of the hour, UTC
    Column("source", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),
    Column("code", Text, nullable=False),
    Column("name", Text, nullable=False),  # of the event, where the source counts dropped events by name; else ''
    Column("shard", Integer, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),  # of these, in `rejected`
    PrimaryKeyConstraint("workspace", "bucket_us", "source", "stage", "code", "name", "shard"),
    postgresql_with={"fillfactor": "50"},
)
