"""Tables of raw ids, of what links and parts them, and of ids that have as many as they may."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    SmallInteger,
    Table,
    Text,
    collate,
    false,
    func,
)

from throughline.store.metadata import metadata
from throughline.store.schema.columns import sorted_text
from throughline.store.schema.privileges import READ, Rights, grant

# Every raw id of a fact, and the owner that it belongs to. An id is locked before anything of it is read.
ids = Table(
    "ids",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False),  # digest of (workspace, name)
    Column("name", Text, nullable=False),
    Column("is_user", Boolean, nullable=False),  # whether it is a user id in some fact
    Column("members", Integer, nullable=False),  # of a root: number of ids of the customer, this one included
    Column("links", Integer, nullable=False),  # number of its rows in `links`
    Column("owner", LargeBinary),  # digest of the id it is linked to; null: a customer of its own
    Column("link_us", BigInteger),  # the link by which it belongs to its owner
    Column("link_place", BigInteger),
    Column("link_message", Text),
    Column("link_by", SmallInteger),
    Column("root", LargeBinary, nullable=False),  # digest of its customer's own id, where the links end
    Column("marked", Boolean, nullable=False, server_default=false()),  # whether `recomputations` has a row of it
    PrimaryKeyConstraint("workspace", "id"),
    postgresql_partition_by="HASH (id)",
)
Index("ids_by_root", ids.c.root)

# What people search ids by: A to Z as small letters, whatever the database's collation.
id_key = func.lower(collate(ids.c.name, "C"))
Index("ids_by_key", ids.c.workspace, id_key)

# Every pair of ids that facts link: the first link of each kind.
links = Table(
    "links",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("owner", LargeBinary, nullable=False),
    Column("by", SmallInteger, nullable=False),  # 1 an event with both ids, 2 an alias
    Column("occurred_us", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),  # of the event in its request
    Column("message_id", sorted_text(), nullable=False),
    PrimaryKeyConstraint("id", "owner", "by"),
    postgresql_partition_by="HASH (id)",
)

Index("links_by_owner", links.c.owner)

# The last ruling of an operator on each pair.
rulings = Table(
    "rulings",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("owner", LargeBinary, nullable=False),
    Column("occurred_us", BigInteger, nullable=False),
    Column("message_id", sorted_text(), nullable=False),
    Column("void", Boolean, nullable=False),
    PrimaryKeyConstraint("id", "owner"),
    postgresql_partition_by="HASH (id)",
)

# Ids with links that were not made, because a customer or an id has as many as it may have: the newest of a workspace.
identity_suspects = Table(
    "identity_suspects",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("id", LargeBinary, nullable=False),  # digest of (workspace, name)
    Column("name", Text, nullable=False),
    Column("reason", Text, nullable=False),  # the limit that was met last: a `SuspectReason`
    Column("refused", BigInteger, nullable=False),  # number of links that were not made
    Column("first_us", BigInteger, nullable=False),  # when the event of the first of these was received
    Column("last_us", BigInteger, nullable=False),
    PrimaryKeyConstraint("workspace", "id"),
    info=grant(Rights(ingest=READ)),
)
