"""The database roles of the services: made and granted their rights by whoever migrates, the owner of the tables.

Everything is compared first, so that a database whose roles are right is only read. `schema/privileges.py` says who
may do what.
"""

import secrets
from base64 import b64encode
from collections.abc import Iterator, Mapping
from enum import StrEnum
from hashlib import pbkdf2_hmac, sha256
from hmac import digest
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.metadata import metadata
from throughline.store.schema.privileges import READ, Rights, rights_of

SCRAM_ROUNDS = 4096
"""PostgreSQL's own number: passwords are long and random."""


class Role(StrEnum):
    """A role, by its name in the database."""

    INGEST = "throughline_ingest"
    STAGER = "throughline_stager"
    API = "throughline_api"
    ADMIN = "throughline_admin"
    """Of the `throughline` command: all that people administer, but no tables made or changed."""

    @property
    def service(self) -> str:
        """The name of the service, and of the role's field of `Rights`."""
        return self.name.lower()


class _Right(NamedTuple):
    """One privilege of a role on a table."""

    role: str
    table: str
    privilege: str


_ROLES = text("SELECT rolname FROM pg_roles WHERE rolname = ANY(:roles)")
_RIGHTS = text("""
    SELECT r.rolname, c.relname, a.privilege_type
    FROM pg_class c, aclexplode(c.relacl) a
    JOIN pg_roles r ON r.oid = a.grantee
    WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(:tables) AND r.rolname = ANY(:roles)
""")
_TABLES = text("""
    SELECT relname FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname = ANY(:tables)
""")
_ADMITTED = text("""
    SELECT rolname FROM pg_roles
    WHERE rolname = ANY(:roles)
    AND has_database_privilege(oid, current_database(), 'CONNECT')
    AND has_schema_privilege(oid, current_schema(), 'USAGE')
""")
_PLACE = text("""
    SELECT quote_ident(current_database()), quote_ident(current_schema()), rolsuper
    FROM pg_roles WHERE rolname = current_user
""")

_REVISIONS = "alembic_version"
"""Everyone but ingest reads it, to see whether the database is migrated; the owner alone writes it."""
_RIGHTS_BY_TABLE = {table.name: rights_of(table) for table in metadata.tables.values()} | {
    _REVISIONS: Rights(stager=READ, api=READ, admin=READ)
}


async def have_rights(connection: AsyncConnection) -> bool:
    """Whether every role is there, with its rights and no others on the tables."""
    statements = await _missing_statements(connection)
    await connection.rollback()
    return not statements


async def give_rights(connection: AsyncConnection, passwords: Mapping[Role, str]) -> None:
    """Make the roles that are missing, set their passwords, and grant and revoke what differs.

    Raises:
        DBAPIError: this user may not make roles, or does not own the tables.
    """
    for statement in await _missing_statements(connection):
        await connection.exec_driver_sql(statement)
    for role, password in passwords.items():
        await connection.exec_driver_sql(f"ALTER ROLE {role} LOGIN PASSWORD '{scram_secret(password)}'")


async def _missing_statements(connection: AsyncConnection) -> list[str]:
    """The statements that lead from the roles and rights of this database to those that there should be."""
    names = {"roles": [str(role) for role in Role], "tables": list(_RIGHTS_BY_TABLE)}
    database, schema, is_superuser = (await connection.execute(_PLACE)).one()
    roles = set(await connection.scalars(_ROLES, names))
    tables = set(await connection.scalars(_TABLES, names))
    rights = {_Right(*row) for row in await connection.execute(_RIGHTS, names)}
    admitted = set(await connection.scalars(_ADMITTED, names))
    due = set(_due_rights(tables))

    statements = []
    for role in Role:
        if role not in roles:
            statements.append(f"CREATE ROLE {role} NOLOGIN")
            if not is_superuser:
                # So that the owner may act in the role, as `throughline run` does on a database that is not its own.
                statements.append(f"GRANT {role} TO CURRENT_USER")
        if role not in admitted:
            statements.append(f"GRANT CONNECT ON DATABASE {database} TO {role}")
            statements.append(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    statements += [f"GRANT {r.privilege} ON {schema}.{r.table} TO {r.role}" for r in sorted(due - rights)]
    statements += [f"REVOKE {r.privilege} ON {schema}.{r.table} FROM {r.role}" for r in sorted(rights - due)]
    return statements


def _due_rights(tables: set[str]) -> Iterator[_Right]:
    for table in tables:
        for role in Role:
            for privilege in getattr(_RIGHTS_BY_TABLE[table], role.service):
                yield _Right(role, table, privilege)


def scram_secret(password: str, salt: bytes | None = None) -> str:
    """Returns what PostgreSQL stores of a password (RFC 5803), so that the password itself reaches no server's log."""
    salt = salt or secrets.token_bytes(16)
    salted = pbkdf2_hmac("sha256", password.encode(), salt, SCRAM_ROUNDS)
    stored = sha256(digest(salted, b"Client Key", "sha256")).digest()
    server = digest(salted, b"Server Key", "sha256")
    encoded = [b64encode(part).decode() for part in (salt, stored, server)]
    return "SCRAM-SHA-256${}:{}${}:{}".format(SCRAM_ROUNDS, *encoded)


def url_in_role(database_url: str, role: Role, password: str | None = None) -> str:
    """Returns the URL of the same database for sessions that have the rights of the role.

    With its `password` the role logs in by itself; without, the user of the URL logs in and acts in the role.
    """
    parts = urlsplit(database_url)
    if password is None:
        return urlunsplit(parts._replace(query=urlencode([*parse_qsl(parts.query), ("role", str(role))])))
    hosts = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{role}:{quote(password, safe='')}@{hosts}"))
