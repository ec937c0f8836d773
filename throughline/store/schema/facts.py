"""The table of facts: every touchpoint, once."""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, LargeBinary, PrimaryKeyConstraint, Table, Text

from throughline.store.metadata import metadata

# Every column but the two keys is a field of `Touchpoint` by its name (docs/decisions/0011).
touchpoints = Table(
    "touchpoints",
    metadata,
    Column("actor", LargeBinary, nullable=False),  # digest of (workspace, actor id)
    Column("message", LargeBinary, nullable=False),  # digest of the message id
    Column("occurred_us", BigInteger, nullable=False),
    Column("place", BigInteger, nullable=False),  # position in its request: breaks ties of one instant
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
    Column("rest", Text, nullable=False),  # all other fields as sent: one JSON object, as text
    Column("bot", Boolean, nullable=False),  # a crawler sent it: left out of every journey
    Column("total", Double),
    Column("items", Text),  # lines of an order, refund or cart: JSON, as text
    Column("test", Boolean, nullable=False),  # about a test order: left out of every journey
    Column("attribution", Text),  # where the visit came from: one JSON object, as text; null: nothing is known
    PrimaryKeyConstraint("message", "actor"),  # by message first: which ids of a customer sent it is one walk
    postgresql_partition_by="HASH (actor)",
)
Index("touchpoints_by_time", touchpoints.c.actor, touchpoints.c.occurred_us)
# Few facts name a referral code, so that few are in the index.
HAS_REFERRAL_CODE = "t.attribution LIKE '%\"referral_code\"%'"
"""Condition on a touchpoint `t` that it names a referral code."""
Index(
    "touchpoints_with_code",
    touchpoints.c.actor,
    postgresql_where=touchpoints.c.attribution.like('%"referral_code"%'),
)
# Which facts name another id than their actor's without a row in `links`: those that are in no journey.
Index(
    "touchpoints_unlinked",
    touchpoints.c.anonymous_id,
    postgresql_where=(touchpoints.c.bot | touchpoints.c.test) & touchpoints.c.user_id.is_not(None),
)
