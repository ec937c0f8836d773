"""What was spent to bring customers: imported by operators, divided as attribution divides orders."""

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, Table, Text

from throughline.store.metadata import metadata
from throughline.store.schema.privileges import NOTHING, Rights, grant

costs = Table(
    "costs",
    metadata,
    Column("workspace", BigInteger, nullable=False),
    Column("dimension", Text, nullable=False),  # of attribution: channel, campaign, ...
    Column("day", Integer, nullable=False),  # of the calendar: days since 1970-01-01
    Column("value", Text, nullable=False),  # of the dimension
    Column("currency", Text, nullable=False),
    Column("amount", BigInteger, nullable=False),  # minor units of the currency
    PrimaryKeyConstraint("workspace", "dimension", "day", "value", "currency"),
    info=grant(Rights(stager=NOTHING)),
)
