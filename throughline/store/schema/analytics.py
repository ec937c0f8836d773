"""Tables of the sums that analytics are read from: funnels, flows and variants, by day of the workspace's time zone.

One row per shard (= Kafka partition), as of the phase counts, until those of settled days are merged. Rows may be
negative, their sums cannot. `source` and `channel` are those of the customer's first touchpoint.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BigInteger, Column, Integer, PrimaryKeyConstraint, SmallInteger, Table, Text
from sqlalchemy.types import TypeEngine

from throughline.store.metadata import metadata

MERGED = -1
"""The shard of rows that stand for those of all shards."""

_TYPES: Mapping[str, type[TypeEngine[Any]]] = {
    "model": BigInteger,
    "unit": SmallInteger,  # 1 cycle, 2 customer
    "phase": SmallInteger,
    "day_us": BigInteger,  # the start of the day
    "shard": Integer,
    "source": BigInteger,
    "channel": Text,
    "way": SmallInteger,  # throughline/journey/funnel.py
    "age": SmallInteger,  # number of a bin of age
    "reading": SmallInteger,  # 1 moves of the day, 2 moves of cycles that began on it
    "kind": SmallInteger,  # 1 enter, 2 return, 3 lapse
    "from_phase": SmallInteger,
    "to_phase": SmallInteger,
    "cycle": SmallInteger,  # class of the cycle
    "phases": Integer,  # those entered, as bits
    "outcome": SmallInteger,  # throughline/journey/milestones.py
}


def _sums(name: str, *key: str) -> Table:
    """Returns a table of one number for each key."""
    return Table(
        name,
        metadata,
        *(Column(column, _TYPES[column], nullable=False) for column in key),
        Column("number", BigInteger, nullable=False),
        PrimaryKeyConstraint(*key),
        postgresql_with={"fillfactor": "50"},
    )


funnel_counts = _sums(
    "funnel_counts", "model", "unit", "phase", "day_us", "source", "channel", "way", "age", "shard"
)  # fmt: skip
flow_counts = _sums(
    "flow_counts", "model", "reading", "day_us", "source", "channel", "kind", "from_phase", "to_phase", "cycle", "shard"
)
variant_counts = _sums("variant_counts", "model", "day_us", "source", "channel", "phases", "outcome", "shard")

TABLES = (funnel_counts, flow_counts, variant_counts)
