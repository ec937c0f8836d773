"""The rules of `docs/reference/store.md` that can be read off a statement's text."""

import re

from throughline.store import schema as schema  # the tables whose names the rules need
from throughline.store.citus import distribution_columns

WRITES = re.compile(r"^\s*(WITH\b.*\)\s*)?(INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE | re.DOTALL)
VOLATILE = re.compile(
    r"\b(now|clock_timestamp|statement_timestamp|transaction_timestamp|timeofday|random|gen_random_uuid|nextval)\s*\("
    r"|\b(CURRENT_TIMESTAMP|CURRENT_DATE|CURRENT_TIME|LOCALTIMESTAMP|LOCALTIME)\b",
    re.IGNORECASE,
)
NEVER = {
    "MERGE": re.compile(r"\bMERGE\s+INTO\b", re.IGNORECASE),
    "SELECT FOR UPDATE": re.compile(r"\bFOR\s+(NO\s+KEY\s+)?UPDATE\b", re.IGNORECASE),
    # Whoever stages holds its workspaces: rows that are there, on one node, and that many hold at once.
    "SELECT FOR SHARE of anything but workspaces": re.compile(
        r"^(?!\s*SELECT\b[^()]*\bFROM\s+workspaces\s+WHERE\b).*\bFOR\s+(KEY\s+)?SHARE\b", re.IGNORECASE | re.DOTALL
    ),
    "UPDATE ... FROM": re.compile(r"\bUPDATE\s+\w+(\s+AS\s+\w+)?\s+SET\b.*\bFROM\b", re.IGNORECASE | re.DOTALL),
    "DELETE ... USING": re.compile(r"\bDELETE\s+FROM\s+\w+\s+USING\b", re.IGNORECASE),
    "TRUNCATE": re.compile(r"\bTRUNCATE\b", re.IGNORECASE),
    "LOCK TABLE": re.compile(r"\bLOCK\s+TABLE\b", re.IGNORECASE),
}


PARAMETER = re.compile(r"\$\d+|(?<![:\w]):[a-z_]\w*", re.IGNORECASE)
UPDATE_OF_CONFLICT = re.compile(r"\bDO\s+UPDATE\s+SET\b(.*?)(\bRETURNING\b|$)", re.IGNORECASE | re.DOTALL)
SPREAD = "|".join(distribution_columns())
ON_SHARDS = re.compile(rf"\bINSERT\s+INTO\s+({SPREAD})\b", re.IGNORECASE)
READS_SHARDS = re.compile(rf"\b(FROM|JOIN)\s+({SPREAD})\b", re.IGNORECASE)
BARE_UNNEST = re.compile(r"\b(FROM|JOIN|,)\s*(LATERAL\s+)?unnest\s*\(([^()]|\([^()]*\))*,", re.IGNORECASE)
MATERIALIZED = re.compile(r"\bAS\s+MATERIALIZED\s*\(\s*SELECT\b[^()]*\bFROM\s+unnest\s*\(", re.IGNORECASE)


def broken_on_citus(sql: str) -> list[str]:
    """The rules that hold where tables are spread over nodes, and that a statement breaks."""
    broken = []
    update = UPDATE_OF_CONFLICT.search(sql)
    if ON_SHARDS.search(sql) and update and PARAMETER.search(update[1]):
        broken.append("a parameter in DO UPDATE SET: the shard's statement lacks the types of the others")
    if READS_SHARDS.search(sql) and len(BARE_UNNEST.findall(sql)) > len(MATERIALIZED.findall(sql)):
        broken.append("unnest of several arrays beside a spread table: unnest them in a select list, or materialize")
    return broken


def broken_rules(sql: str) -> list[str]:
    """The rules that a statement breaks."""
    broken = [name for name, pattern in NEVER.items() if pattern.search(sql)] + broken_on_citus(sql)
    if not WRITES.search(sql):
        return broken
    if VOLATILE.search(sql):
        broken.append("a volatile function in a statement that writes: pass the time in")
    if re.search(r"\bINSERT\b", sql, re.IGNORECASE):
        if not re.search(r"\b(ON\s+CONFLICT|RETURNING)\b", sql, re.IGNORECASE):
            broken.append("INSERT without ON CONFLICT or RETURNING: a violated constraint loses its own error code")
        if "unnest(" in sql and not re.search(r"\bORDER\s+BY\b", sql, re.IGNORECASE):
            broken.append("INSERT ... SELECT FROM unnest without ORDER BY: unsorted keys deadlock")
    return broken
