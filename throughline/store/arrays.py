"""Set-based statements: a batch's rows go to PostgreSQL as one array per column, joined again by unnest."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import bindparam, column, func
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.sql.selectable import TableValuedAlias
from sqlalchemy.types import TypeEngine


def unnest(name: str, columns: Mapping[str, TypeEngine[Any]]) -> TableValuedAlias:
    """`unnest($1::type[], ...) AS name(column, ...)`; each column's parameter has the column's name."""
    arrays = [bindparam(key, type_=ARRAY(kind)) for key, kind in columns.items()]
    typed = [column(key, kind) for key, kind in columns.items()]
    return func.unnest(*arrays).table_valued(*typed, name=name).render_derived()
