"""Workspaces, sources, keys and tokens on a real database; every statement they run keeps the store's rules."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, select, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.support.statement_rules import broken_rules
from throughline.store.access import keys
from throughline.store.access.modes import Scope
from throughline.store.access.names import AdminError
from throughline.store.access.read_tokens import (
    LAST_USE_US,
    create_read_token,
    list_read_tokens,
    revoke_read_token,
    write_last_uses,
)
from throughline.store.access.sources import create_source, list_sources, set_source_enabled
from throughline.store.access.workspaces import WorkspaceInfo, create_workspace, list_workspaces
from throughline.store.access.write_keys import create_write_key, list_write_keys, revoke_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.schema import metadata
from throughline.store.schema.operations import models

NOW = 1_763_930_000_000_000


@pytest.fixture
async def engine(database: str) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(database, pool_size=2)
    broken: list[str] = []

    @event.listens_for(engine.sync_engine, "before_cursor_execute")
    def check(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        broken.extend(f"{rule}: {statement}" for rule in broken_rules(statement))

    yield engine
    await engine.dispose()
    assert not broken


@pytest.fixture
async def shop(engine: AsyncEngine) -> AsyncEngine:
    """A workspace `shop` with the sources `web` and `app`."""
    async with transaction(engine) as connection:
        await create_workspace(connection, "shop", now_us=NOW, time_zone="Europe/Vienna")
        await create_source(connection, "shop", "web", now_us=NOW)
        await create_source(connection, "shop", "app", now_us=NOW)
    return engine


async def do(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Any]]) -> Any:
    async with transaction(engine) as connection:
        return await work(connection)


async def test_a_workspace_has_its_model_from_the_start(shop: AsyncEngine) -> None:
    async with reading(shop) as connection:
        (workspace,) = await list_workspaces(connection)
        rows = (await connection.execute(select(models.c.workspace, models.c.name, models.c.created_us))).all()
    assert workspace == WorkspaceInfo(workspace.id, "shop", "Europe/Vienna", NOW, None, [])
    assert [tuple(row) for row in rows] == [(workspace.id, "seven_phase", NOW)]


async def test_a_write_key_is_known_by_its_digest_only(shop: AsyncEngine) -> None:
    key = await do(shop, lambda c: create_write_key(c, "shop", "web", now_us=NOW))
    assert key.startswith("tlw_")
    assert len(key) == 44
    assert key[4:].isalnum()
    async with reading(shop) as connection:
        (write_key,) = await keys.read_source_keys(connection, now_us=NOW)
        (listed,) = await list_write_keys(connection, "shop")
        stored = [
            str(await connection.scalar(text(f"SELECT string_agg(t::text, '') FROM {name} t")))
            for name in metadata.tables
        ]
    assert write_key.digest == keys.key_digest(key)
    assert (write_key.source_name, write_key.enabled) == ("web", True)
    assert listed == (listed.id, key[:10], "shop", "web", NOW, None, None)
    assert not [table for table in stored if key in table or key[10:] in table]


async def test_keys_differ(shop: AsyncEngine) -> None:
    async with transaction(shop) as connection:
        created = {await create_write_key(connection, "shop", "web", now_us=NOW) for _ in range(50)}
        assert len(created) == 50
        assert len(await keys.read_source_keys(connection, now_us=NOW)) == 50


async def test_the_keys_of_a_disabled_source_are_known_as_disabled(shop: AsyncEngine) -> None:
    for source in ("web", "app"):
        await do(shop, lambda c, source=source: create_write_key(c, "shop", source, now_us=NOW))  # type: ignore[misc]
    await do(shop, lambda c: set_source_enabled(c, "shop", "web", False))
    write_keys = await do(shop, lambda c: keys.read_source_keys(c, now_us=NOW))
    assert {key.source_name: key.enabled for key in write_keys} == {"web": False, "app": True}
    assert [source.enabled for source in await do(shop, list_sources)] == [True, False]
    await do(shop, lambda c: set_source_enabled(c, "shop", "web", True))
    assert all(key.enabled for key in await do(shop, lambda c: keys.read_source_keys(c, now_us=NOW)))


@pytest.mark.parametrize("by", ["id", "hint", "key"])
async def test_a_revoked_key_is_gone_and_stays_listed(shop: AsyncEngine, by: str) -> None:
    key = await do(shop, lambda c: create_write_key(c, "shop", "web", now_us=NOW))
    second_key = await do(shop, lambda c: create_write_key(c, "shop", "web", now_us=NOW))
    first, _ = await do(shop, list_write_keys)
    named = {"id": str(first.id), "hint": first.hint, "key": key}[by]
    assert (await do(shop, lambda c: revoke_write_key(c, named, now_us=NOW + 1))).revoked_us == NOW + 1
    assert (await do(shop, lambda c: revoke_write_key(c, named, now_us=NOW + 2))).revoked_us == NOW + 1
    assert [write_key.digest for write_key in await do(shop, lambda c: keys.read_source_keys(c, now_us=NOW))] == [
        keys.key_digest(second_key)
    ]
    assert [listed.revoked_us for listed in await do(shop, list_write_keys)] == [NOW + 1, None]


async def test_a_read_token_opens_its_workspace_until_it_is_revoked(shop: AsyncEngine) -> None:
    await do(shop, lambda c: create_workspace(c, "other", now_us=NOW))
    token = await do(shop, lambda c: create_read_token(c, "shop", "page", now_us=NOW))
    assert token.startswith("tlr_")
    digest = keys.key_digest(token)
    opened = await do(shop, lambda c: keys.find_read_token(c, digest, now_us=NOW))
    assert opened.workspace_name == "shop"
    assert await do(shop, lambda c: keys.find_read_token(c, keys.key_digest(token + "x"), now_us=NOW)) is None
    assert await do(shop, lambda c: list_read_tokens(c, "other")) == []
    await do(shop, lambda c: revoke_read_token(c, token[:10], now_us=NOW + 1))
    assert await do(shop, lambda c: keys.find_read_token(c, digest, now_us=NOW)) is None
    (listed,) = await do(shop, list_read_tokens)
    assert listed == (listed.id, token[:10], "shop", "page", "read", NOW, None, None, None, NOW + 1)


async def test_an_admin_token_expires_and_tells_who_made_it(shop: AsyncEngine) -> None:
    token = await do(
        shop,
        lambda c: create_read_token(
            c, "shop", "jobs", now_us=NOW, scope=Scope.ADMIN, expires_us=NOW + 10, created_by="ada@host"
        ),
    )
    assert token.startswith("tla_")
    opened = await do(shop, lambda c: keys.find_read_token(c, keys.key_digest(token), now_us=NOW + 9))
    assert (opened.scope, opened.who) == (Scope.ADMIN, f"token {opened.id} (jobs)")
    assert await do(shop, lambda c: keys.find_read_token(c, keys.key_digest(token), now_us=NOW + 10)) is None
    (listed,) = await do(shop, list_read_tokens)
    assert (listed.scope, listed.created_by, listed.expires_us) == ("admin", "ada@host", NOW + 10)


async def test_a_last_use_is_written_at_most_once_a_minute(shop: AsyncEngine) -> None:
    for _ in range(2):
        await do(shop, lambda c: create_read_token(c, "shop", "page", now_us=NOW))
    for uses, written in (
        ({1: NOW}, {1: NOW, 2: None}),
        ({1: NOW + 1, 2: NOW + 1}, {1: NOW, 2: NOW + 1}),
        ({1: NOW + LAST_USE_US}, {1: NOW + LAST_USE_US, 2: NOW + 1}),
    ):
        async with transaction(shop) as connection:
            await write_last_uses(connection, uses)
        assert {listed.id: listed.last_used_us for listed in await do(shop, list_read_tokens)} == written


BAD: list[tuple[Callable[[AsyncConnection], Awaitable[Any]], str]] = [
    (lambda c: create_workspace(c, "shop", now_us=NOW), "there is a workspace 'shop' already"),
    (lambda c: create_source(c, "shop", "web", now_us=NOW), "has a source 'web' already"),
    (lambda c: create_source(c, "shpo", "x", now_us=NOW), "did you mean 'shop'\\? known: shop"),
    (lambda c: create_source(c, "zzzz", "x", now_us=NOW), "unknown workspace 'zzzz'; known: shop"),
    (lambda c: create_write_key(c, "shop", "wep", now_us=NOW), "did you mean 'web'\\? known: app, web"),
    (lambda c: list_write_keys(c, "zzzz"), "unknown workspace"),
    (lambda c: create_workspace(c, "x", now_us=NOW, time_zone="Europe/Wien"), "unknown time zone 'Europe/Wien'"),
    (lambda c: create_workspace(c, "x", now_us=NOW, time_zone="q"), "like Europe/Berlin"),
    (lambda c: create_workspace(c, "", now_us=NOW), "cannot be the name of a workspace"),
    (lambda c: create_workspace(c, " x", now_us=NOW), "no space at its ends"),
    (lambda c: create_workspace(c, "x" * 101, now_us=NOW), "1 to 100 printable characters"),
    (lambda c: create_source(c, "shop", "a\x00b", now_us=NOW), "cannot be the name of a source"),
    (lambda c: create_source(c, "shop", "a\ud800", now_us=NOW), "cannot be the name of a source"),
    (lambda c: create_read_token(c, "shop", "\n", now_us=NOW), "cannot be the name of a token"),
    (lambda c: create_read_token(c, "shop", "x", now_us=NOW, expires_us=NOW), "expired already"),
    (lambda c: revoke_write_key(c, "tlw_nobody", now_us=NOW), "no write key has the id or hint 'tlw_nobody'"),
    (lambda c: revoke_write_key(c, "9" * 30, now_us=NOW), "no write key"),
    (lambda c: revoke_read_token(c, "a\x00\ud800", now_us=NOW), "no token"),
]


@pytest.mark.parametrize(("work", "message"), BAD, ids=[message for _, message in BAD])
async def test_what_cannot_be_done_is_said_and_changes_nothing(
    shop: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[Any]], message: str
) -> None:
    with pytest.raises(AdminError, match=message):
        await do(shop, work)
    assert len(await do(shop, list_workspaces)) == 1
    assert len(await do(shop, list_sources)) == 2


async def test_an_empty_database_says_how_to_begin(engine: AsyncEngine) -> None:
    with pytest.raises(AdminError, match="there is none yet; make one with `throughline workspace create NAME`"):
        await do(engine, lambda c: create_source(c, "shop", "web", now_us=NOW))


async def test_two_keys_with_one_hint_are_told_apart_by_id(shop: AsyncEngine) -> None:
    async with transaction(shop) as connection:
        for _ in range(2):
            await create_write_key(connection, "shop", "web", now_us=NOW)
        await connection.execute(text("UPDATE write_keys SET hint = 'tlw_same00'"))
    with pytest.raises(AdminError, match="several have the hint 'tlw_same00'; say which by id: 1, 2"):
        await do(shop, lambda c: revoke_write_key(c, "tlw_same00", now_us=NOW))
