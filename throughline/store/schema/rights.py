"""Tables of the person's rights: who is to be forgotten, which ids are suppressed, who asked for a copy."""

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, LargeBinary, Table, Text, UniqueConstraint, text

from throughline.store.metadata import metadata
from throughline.store.schema.columns import identity_column
from throughline.store.schema.privileges import READ, Rights, grant

# One row for each erasure of the log. No column holds a raw id.
erasures = Table(
    "erasures",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),  # the message id of its record
    Column("shard", Integer, nullable=False),  # the partition of its record, whose consumer carries it out
    Column("state", Text, nullable=False),  # an `ErasureState`
    Column("once", Boolean, nullable=False),  # whether its ids may come back
    Column("until_us", BigInteger, nullable=False),  # when it was asked for
    Column("subjects", LargeBinary, nullable=False),  # digests of the ids that were named, one after the other
    Column("digests", LargeBinary, nullable=False),  # digests of all ids that are erased, one after the other
    Column("cursor", BigInteger, nullable=False),  # how far its state has come
    Column("touchpoints", BigInteger, nullable=False),  # deleted so far
    Column("clear_us", BigInteger),  # from then on the log holds nothing of it; null: the broker alone knows
    Column("done_us", BigInteger),
    Column("proof", Text, nullable=False, server_default=text("'{}'")),  # place -> rows found at the end: JSON
    UniqueConstraint("workspace", "name"),
)
Index("erasures_open", erasures.c.shard, erasures.c.id, postgresql_where=erasures.c.state != "done")

# Ids whose events are refused. Rows are never changed: what was read once stays true.
suppressions = Table(
    "suppressions",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("digest", LargeBinary, nullable=False),  # of (workspace, id)
    Column("until_us", BigInteger, nullable=False),  # what was received until then is refused
    UniqueConstraint("digest", "until_us"),
    info=grant(Rights(ingest=READ)),
)

# Requests of people for a copy of their data, as a shop passes them on.
data_requests = Table(
    "data_requests",
    metadata,
    identity_column(),
    Column("workspace", BigInteger, nullable=False),
    Column("name", Text, nullable=False),  # the message id of its record
    Column("digest", LargeBinary, nullable=False),  # of (workspace, id)
    Column("requested_us", BigInteger, nullable=False),
    UniqueConstraint("workspace", "name", "digest"),
)
Index("data_requests_by_digest", data_requests.c.digest)
