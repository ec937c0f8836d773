"""Tables of what became of events on their way in, as people look at it: the last of each source, and the refused.

`tables.py` has all others, and gives these too.
"""

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
)

from throughline.store.metadata import metadata

# The last events of each source and partition, in two rings (with warnings, and without): what a person who wires up
# an SDK looks at.
recent_events = Table(
    "recent_events",
    metadata,
    Column("source", BigInteger, nullable=False),
    Column("shard", Integer, nullable=False),
    Column("slot", SmallInteger, nullable=False),  # those with warnings from 32 on
    Column("number", BigInteger, nullable=False),  # how many there were in its ring, itself included
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

# A bounded sample of what was refused or dropped, newest kept; `rejected_counts` has them all.
rejected = Table(
    "rejected",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("workspace", BigInteger, nullable=False),  # 0 when unknown
    Column("source", BigInteger, nullable=False),  # 0 when unknown
    Column("received_us", BigInteger, nullable=False),
    Column("stage", Text, nullable=False),  # ingest, stager or consent
    Column("code", Text, nullable=False),
    Column("field", Text, nullable=False),
    Column("message", Text, nullable=False),
    Column("name", Text, nullable=False),  # the event's, when it could be read
    Column("message_id", Text, nullable=False),  # likewise
    Column("payload", LargeBinary, nullable=False),  # the event or record, whole
    Column("origin", Text, nullable=False),  # topic/partition/offset of the record it came as
    Column("request", Text, nullable=False, server_default=""),  # method and path it came in
    Column("record", Text, nullable=False, server_default=""),  # partition/offset in its topic
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
    Column("name", Text, nullable=False),  # the event's, where the source counts what it drops; else ''
    Column("shard", Integer, nullable=False),
    Column("events", BigInteger, nullable=False),
    Column("kept", BigInteger, nullable=False),  # of these, whole in `rejected`
    PrimaryKeyConstraint("workspace", "bucket_us", "source", "stage", "code", "name", "shard"),
    postgresql_with={"fillfactor": "50"},
)
