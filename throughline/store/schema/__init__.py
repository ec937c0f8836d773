"""Every table, as SQLAlchemy Core, in rooms; the comment beside a column says what it means. Three rules hold them all.

Tables of ids and of customers are hash-partitioned (on Citus distributed) by one 16-byte digest, which is in every
unique key. No foreign key points to a table that is written to. Counts, their history and offsets stand on one node,
so that one statement over them is consistent. Instants are microseconds since the epoch (docs/decisions/0002).
"""

from throughline.store.metadata import metadata as metadata
from throughline.store.schema import access as access
from throughline.store.schema import analytics as analytics
from throughline.store.schema import costs as costs
from throughline.store.schema import counts as counts
from throughline.store.schema import facts as facts
from throughline.store.schema import identity as identity
from throughline.store.schema import journeys as journeys
from throughline.store.schema import operations as operations
from throughline.store.schema import rights as rights
