"""What each database role may do with a table, said beside the table where it differs from `DATA`."""

from typing import NamedTuple

from sqlalchemy import Table

Privileges = frozenset[str]

NOTHING: Privileges = frozenset()
READ: Privileges = frozenset({"SELECT"})
UPDATE: Privileges = READ | {"UPDATE"}
APPEND: Privileges = READ | {"INSERT"}
WRITE: Privileges = UPDATE | APPEND | {"DELETE"}


class Rights(NamedTuple):
    """The privileges on one table of each role, by the role's service. The owner, who migrates, has them all."""

    ingest: Privileges = NOTHING
    stager: Privileges = WRITE
    api: Privileges = READ
    admin: Privileges = WRITE


DATA = Rights()
"""Of a table that says nothing else."""
ACCESS_OF_INGEST = Rights(ingest=READ, stager=READ)
"""Of a table that says who may send, which only operators write."""

_KEY = "rights"


def grant(rights: Rights) -> dict[str, Rights]:
    """Returns the `info` of a table with these rights."""
    return {_KEY: rights}


def rights_of(table: Table) -> Rights:
    """Returns the rights on a table."""
    rights = table.info.get(_KEY, DATA)
    assert isinstance(rights, Rights)
    return rights
