"""Tables of raw ids, and of what links and parts them."""

from sqlalchemy import BigInteger, Boolean, Column, Index, LargeBinary, PrimaryKeyConstraint, SmallInteger, Table, Text

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
    Column("joined", Boolean, nullable=False),  # whether another id belongs or has belonged to it
    Column("linked", Boolean, nullable=False),  # whether `links` has rows of it
    Column("owner", LargeBinary),  # digest of the id it belongs to; null: a customer of its own
    Column("link_us", BigInteger),  # the link by which it belongs to its owner
    Column("link_message", Text),
    Column("link_by", SmallInteger),
    PrimaryKeyConstraint("workspace", "id"),
    postgresql_partition_by="HASH (id)",
)
Index("ids_by_owner", ids.c.owner, postgresql_where=ids.c.owner.is_not(None))

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
