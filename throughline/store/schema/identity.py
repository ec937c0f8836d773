"""Tables of raw ids, and of what links and parts them."""

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
)

from throughline.store.metadata import metadata
from throughline.store.schema.columns import sorted_text

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
    Column("link_message", Text),
    Column("link_by", SmallInteger),
    Column("root", LargeBinary, nullable=False),  # digest of its customer's own id, where the links end
    PrimaryKeyConstraint("workspace", "id"),
    postgresql_partition_by="HASH (id)",
)
Index("ids_by_root", ids.c.root)

# Every pair of ids that facts link: the first link of each kind.
links = Table(
    "links",
    metadata,
    Column("id", LargeBinary, nullable=False),
    Column("owner", LargeBinary, nullable=False),
    Column("by", SmallInteger, nullable=False),  # 1 an event with both ids, 2 an alias
    Column("occurred_us", BigInteger, nullable=False),
    Column("message_id", sorted_text(), nullable=False),
    PrimaryKeyConstraint("id", "owner", "by"),
    postgresql_partition_by="HASH (id)",
)

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
