"""The roles of the services on a real server: what each may do, what it is refused, and how it comes to its rights."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import execute
from tests.support.command import Throughline
from tests.support.stack import ROLE_PASSWORD, Stack, until
from throughline.kit.clock import now_us
from throughline.local import LocalPostgres
from throughline.store.access.keys import read_source_keys
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction
from throughline.store.migrate import MigrateError, check, upgrade, wait_until_migrated
from throughline.store.roles import Role, have_rights, url_in_role
from throughline.store.schema import metadata
from throughline.store.schema.privileges import rights_of

INSERT_KEY = "INSERT INTO write_keys (digest, hint, source, created_us) VALUES ('x', '', 1, 1)"
INSERT_COUNT = "INSERT INTO orphan_refunds VALUES (1, 0, 1, 1)"
CREATE_TABLE = "CREATE TABLE of_a_service (id bigint)"


@pytest.fixture(scope="module")
async def fresh_server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalPostgres]:
    """A server that has no roles of Throughline's yet."""
    async with LocalPostgres(tmp_path_factory.mktemp("fresh")) as server:
        yield server


async def is_refused(url: str, statement: str) -> bool:
    """Whether the statement is refused for want of rights; it is not carried out if it is allowed."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f"BEGIN; {statement}; ROLLBACK")
    except asyncpg.InsufficientPrivilegeError:
        return True
    finally:
        await connection.close()
    return False


def attempts(table: Table) -> dict[str, str]:
    """A statement for each privilege on a table, which changes no row."""
    column = [column.name for column in table.columns if column.computed is None][-1]
    return {
        "SELECT": f"SELECT 1 FROM {table.name} LIMIT 0",
        "INSERT": f"INSERT INTO {table.name} DEFAULT VALUES",
        "UPDATE": f"UPDATE {table.name} SET {column} = NULL WHERE false",
        "DELETE": f"DELETE FROM {table.name} WHERE false",
        "TRUNCATE": f"TRUNCATE {table.name}",
    }


@pytest.mark.parametrize("role", Role)
async def test_a_role_may_do_with_each_table_what_is_said_beside_it_and_no_more(database: str, role: Role) -> None:
    connection = await asyncpg.connect(url_in_role(database, role, ROLE_PASSWORD))
    declared = {
        (table.name, each) for table in metadata.tables.values() for each in getattr(rights_of(table), role.service)
    }
    allowed = set()
    try:
        for table in metadata.tables.values():
            for privilege, statement in attempts(table).items():
                with suppress(asyncpg.InsufficientPrivilegeError):
                    # A row of nothing but defaults breaks a constraint, where it may be inserted.
                    with suppress(asyncpg.IntegrityConstraintViolationError):
                        await connection.execute(statement)
                    allowed.add((table.name, privilege))
    finally:
        await connection.close()
    assert allowed == declared


async def test_what_the_roles_are_for(database: str) -> None:
    ingest, stager, api, admin = (url_in_role(database, role, ROLE_PASSWORD) for role in Role)
    engine = create_engine(ingest)
    try:
        async with transaction(engine) as connection:
            assert await read_source_keys(connection, now_us=now_us()) == []
    finally:
        await engine.dispose()
    for facts in ("touchpoints", "journeys", "read_tokens", "touchpoints_p0"):
        assert await is_refused(ingest, f"SELECT 1 FROM {facts}")
    assert not await is_refused(stager, INSERT_COUNT)
    assert not await is_refused(stager, "SELECT id FROM workspaces FOR SHARE")
    assert await is_refused(stager, INSERT_KEY)
    assert await is_refused(stager, "DELETE FROM read_tokens")
    assert not await is_refused(api, "SELECT 1 FROM journeys")
    assert await is_refused(api, INSERT_COUNT)
    assert await is_refused(api, INSERT_KEY)
    assert not await is_refused(admin, INSERT_KEY)
    for role in (ingest, stager, api, admin):
        assert await is_refused(role, CREATE_TABLE)
        assert await is_refused(role, "UPDATE alembic_version SET version_num = '0001'")
        assert await is_refused(role, "CREATE ROLE stranger")
        assert await is_refused(role, "COPY (SELECT 1) TO PROGRAM 'true'")


async def test_the_command_works_in_the_role_for_it_and_says_what_is_missing_in_another(database: str) -> None:
    admin = Throughline(url_in_role(database, Role.ADMIN, ROLE_PASSWORD))
    assert (await admin("workspace", "create", "acme")).status == 0
    assert (await admin("source", "create", "acme", "web")).status == 0
    assert (await admin("key", "create", "--workspace", "acme", "--source", "web")).status == 0
    assert (await admin("token", "create", "--workspace", "acme", "--name", "t")).status == 0
    api = await Throughline(url_in_role(database, Role.API, ROLE_PASSWORD))("workspace", "create", "other")
    assert api.status == 1
    assert "permission denied for table workspaces" in api.err
    assert "throughline_admin" in api.err
    ingest = await Throughline(url_in_role(database, Role.INGEST, ROLE_PASSWORD))("workspace", "list")
    assert ingest.status == 1
    assert "throughline_admin" in ingest.err


async def test_rights_that_somebody_changed_are_put_right(database: str, engine: AsyncEngine) -> None:
    api = url_in_role(database, Role.API, ROLE_PASSWORD)
    await execute(database, "GRANT DELETE ON journeys TO throughline_api; REVOKE SELECT ON ids FROM throughline_api")
    async with engine.connect() as connection:
        assert not await have_rights(connection)
    await upgrade(database)
    async with engine.connect() as connection:
        assert await have_rights(connection)
    assert await is_refused(api, "DELETE FROM journeys")
    assert not await is_refused(api, "SELECT 1 FROM ids")


async def test_an_owner_without_superuser_makes_the_roles_and_acts_in_them(
    fresh_server: LocalPostgres,
) -> None:
    await execute(fresh_server.url, "CREATE ROLE owner LOGIN PASSWORD 'of-the-owner'")
    await execute(fresh_server.url, "CREATE DATABASE owned OWNER owner")
    owner = fresh_server.url_of("owned").replace(fresh_server.url.split("//")[1].split("@")[0], "owner:of-the-owner")
    with pytest.raises(MigrateError, match=r"permission denied to create role.*CREATEROLE"):
        await upgrade(owner)
    await execute(fresh_server.url, "ALTER ROLE owner CREATEROLE")
    throughline = Throughline(owner)
    throughline.environment |= {"INGEST_DB_PASSWORD": "short"}
    refused = await throughline("migrate")
    assert refused.status == 2
    assert "INGEST_DB_PASSWORD" in refused.err
    assert "short" not in refused.err.replace("should", "")
    throughline.environment |= {"INGEST_DB_PASSWORD": "first-password", "API_DB_PASSWORD": None}
    assert (await throughline("migrate")).status == 0
    ingest = url_in_role(owner, Role.INGEST, "first-password")
    assert not await is_refused(ingest, "SELECT 1 FROM write_keys")
    acting = url_in_role(owner, Role.INGEST)
    assert not await is_refused(acting, "SELECT 1 FROM write_keys")
    assert await is_refused(acting, "SELECT 1 FROM journeys")
    await upgrade(owner, passwords={Role.INGEST: "second-password"})
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(ingest)
    assert not await is_refused(url_in_role(owner, Role.INGEST, "second-password"), "SELECT 1 FROM write_keys")


async def test_services_wait_for_whoever_migrates(
    fresh_server: LocalPostgres, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The first time for the tables, then for their own rights on them."""
    await upgrade(fresh_server.url, passwords=dict.fromkeys(Role, ROLE_PASSWORD))
    await execute(fresh_server.url, "CREATE DATABASE later")
    url = fresh_server.url_of("later")
    api = url_in_role(url, Role.API, ROLE_PASSWORD)
    stack = Stack("127.0.0.1:1", url, "t", "r", tmp_path)
    waiting = asyncio.create_task(wait_until_migrated(api))
    try:
        service = await stack.start("api", ready=False)
        await until(lambda: _says(service.child.tail, "run `throughline migrate` first"), what=service.child.tail)
        assert not waiting.done()
        await upgrade(url)
        await service.ready()
        async with asyncio.timeout(20):
            await waiting
    finally:
        waiting.cancel()
        await stack.stop()
    await execute(url, "REVOKE SELECT ON alembic_version FROM throughline_api")
    with pytest.raises(MigrateError, match=r"no rights on the tables.*throughline_admin"):
        await check(api)
    again = asyncio.create_task(wait_until_migrated(api))
    try:
        await until(lambda: _says(lambda: caplog.text, "no rights on the tables"), what=lambda: caplog.text)
        await upgrade(url)
        async with asyncio.timeout(20):
            await again
    finally:
        again.cancel()


async def _says(text: Callable[[], str], words: str) -> bool:
    return words in text()
