"""The `throughline` command on a real database: what scripts parse, what people read, how it fails."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import execute
from tests.support.command import Throughline
from throughline.local import LocalPostgres, free_port
from throughline.store.access import keys
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading


@pytest.fixture
def throughline(database: str) -> Throughline:
    return Throughline(database)


async def test_from_nothing_to_a_key_and_a_token(throughline: Throughline, database: str) -> None:
    created = await throughline("workspace", "create", "shop", "--time-zone", "Europe/Vienna", "--json")
    assert created.json == {"id": 1, "name": "shop", "time_zone": "Europe/Vienna"}
    created = await throughline("source", "create", "shop", "web", "--json")
    assert created.json == {"id": 1, "workspace": "shop", "name": "web", "enabled": True}
    key = await throughline("key", "create", "--workspace", "shop", "--source", "web")
    token = await throughline("token", "create", "--workspace", "shop", "--name", "page", "--json")
    assert "shown once" in key.err
    assert "shown once" not in key.out
    engine = create_engine(database, pool_size=1)
    async with reading(engine) as connection:
        (write_key,) = await keys.read_source_keys(connection, now_us=0)
        opened = await keys.find_read_token(connection, keys.key_digest(token.json["token"]), now_us=0)
    await engine.dispose()
    assert write_key.digest == keys.key_digest(key.out.strip())
    assert opened is not None
    assert opened.workspace_name == "shop"
    assert {key: token.json[key] for key in ("workspace", "name")} == {"workspace": "shop", "name": "page"}


async def test_lists_for_people_and_for_scripts(throughline: Throughline) -> None:
    assert (await throughline("workspace", "list")).err.endswith("there is no workspace yet\n")
    assert (await throughline("workspace", "list", "--json")).json == []
    await throughline("workspace", "create", "[red]shop[/red]")
    await throughline("workspace", "create", "other")
    await throughline("source", "create", "[red]shop[/red]", "web")
    await throughline("source", "create", "other", "app")
    listed = await throughline("source", "list")
    heads, row, *_ = [line.split() for line in listed.out.splitlines()]
    assert heads == ["workspace", "name", "enabled", "created", "at", "drop", "hash", "strip", "queries"]
    assert [*row[:3], *row[4:]] == ["[red]shop[/red]", "web", "yes", "-", "-", "-"]
    (source,) = (await throughline("source", "list", "--workspace", "other", "--json")).json
    assert source["created_at"].endswith("Z")
    assert {**source, "created_at": ""} == {
        "id": 2,
        "workspace": "other",
        "name": "app",
        "enabled": True,
        "created_at": "",
        "drop": [],
        "hash": [],
        "strip_queries": [],
    }


async def test_a_source_is_switched_off_and_on(throughline: Throughline) -> None:
    await throughline("workspace", "create", "shop")
    await throughline("source", "create", "shop", "web")
    for word, enabled in (("disable", False), ("enable", True)):
        assert f"source 'web' is {word}d" in (await throughline("source", word, "shop", "web")).err
        (source,) = (await throughline("source", "list", "--json")).json
        assert source["enabled"] is enabled


async def test_keys_and_tokens_are_revoked_by_hint_and_by_id(throughline: Throughline) -> None:
    await throughline("workspace", "create", "shop")
    await throughline("source", "create", "shop", "web")
    key = (await throughline("key", "create", "--workspace", "shop", "--source", "web", "--json")).json["key"]
    await throughline("token", "create", "--workspace", "shop", "--name", "page")
    assert "is revoked since" in (await throughline("key", "revoke", key[:10], "--yes")).err
    assert "(page) is revoked since" in (await throughline("token", "revoke", "1", "--yes")).err
    for kind in ("key", "token"):
        (listed,) = (await throughline(kind, "list", "--json")).json
        assert listed["revoked_at"] is not None
        shown = (await throughline(kind, "list")).out
        assert listed["hint"] in shown
        assert key not in shown


@pytest.mark.parametrize(
    ("words", "message", "status"),
    [
        (("key", "create", "--workspace", "shpo", "--source", "web"), "error: unknown workspace 'shpo'", 1),
        (("workspace", "create", "shop"), "error: there is a workspace 'shop' already", 1),
        (("workspace", "create", "x", "--time-zone", "Moon"), "error: unknown time zone 'Moon'", 1),
        (("key", "revoke", "nothing", "--yes"), "error: no write key has the id or hint 'nothing'", 1),
        (("workspace", "create"), "Missing argument", 2),
        (("key", "create", "--workspace", "shop"), "Missing option '--source'", 2),
        (("nonsense",), "No such command 'nonsense'", 2),
    ],
)
async def test_errors_are_sentences(
    throughline: Throughline, words: tuple[str, ...], message: str, status: int
) -> None:
    await throughline("workspace", "create", "shop")
    result = await throughline(*words)
    assert message in result.err
    assert (result.status, result.out) == (status, "")


async def test_the_database_is_named_without_its_password_and_asked_to_be_migrated(postgres: LocalPostgres) -> None:
    await execute(postgres.url, "create database cli_empty")
    url = postgres.url_of("cli_empty")
    throughline = Throughline(url)
    try:
        before = await throughline("workspace", "list")
        assert before.status == 1
        assert "run `throughline migrate` first" in before.err
        for _ in range(2):
            assert (await throughline("migrate")).err.endswith("the tables and roles are up to date\n")
        after = await throughline("workspace", "list", "--json")
        assert after.json == []
        assert f"database: postgresql://throughline@127.0.0.1:{postgres.port}/cli_empty (DATABASE_URL)" in after.err
    finally:
        await execute(postgres.url, "drop database cli_empty with (force)")
    absent = await throughline("migrate")
    assert absent.status == 1
    assert 'database "cli_empty" does not exist' in absent.err
    password = url.split(":")[2].split("@")[0]
    assert password not in before.err + after.err + absent.err


async def test_a_wrong_or_absent_database_is_a_sentence() -> None:
    wrong = await Throughline("mysql://throughline@localhost/x")("workspace", "list")
    assert wrong.status == 2
    assert "DATABASE_URL" in wrong.err
    absent = await Throughline(f"postgresql://throughline@127.0.0.1:{free_port()}/x")("workspace", "list")
    assert absent.status == 3
    assert "error: no PostgreSQL answers" in absent.err


async def test_the_running_stack_is_found_by_its_run_file(database: str, tmp_path: Path) -> None:
    nobody = Throughline(None)
    run = tmp_path / "run.json"
    absent = await nobody("workspace", "list", "--data", str(tmp_path))
    assert f"nothing runs on {tmp_path}" in absent.err
    run.write_text(json.dumps({"database_url": database, "pids": {"api": os.getpid()}}))
    listed = await nobody("workspace", "list", "--json", "--data", str(tmp_path))
    assert listed.json == []
    assert f"(of the stack running on {tmp_path})" in listed.err
    nobody.environment["DATA"] = str(tmp_path)
    assert (await nobody("workspace", "list", "--json")).json == []
    nobody.environment["DATABASE_URL"] = f"postgresql://throughline@127.0.0.1:{free_port()}/x"
    assert "(DATABASE_URL)" in (await nobody("workspace", "list")).err
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    run.write_text(json.dumps({"database_url": database, "pids": {"api": ended.pid}}))
    assert f"nothing runs on {tmp_path}" in (await nobody("workspace", "list", "--data", str(tmp_path))).err
    run.write_text("{")
    assert "cannot be read" in (await nobody("workspace", "list", "--data", str(tmp_path))).err


@pytest.mark.parametrize("words", [[], ["workspace"], ["source"], ["key"], ["token"], ["migrate"], ["key", "create"]])
async def test_help_says_what_there_is(throughline: Throughline, words: list[str]) -> None:
    result = await throughline(*words, "--help")
    assert result.status == 0
    assert "Usage: " in result.out


async def test_the_installed_command(database: str) -> None:
    command = Path(sys.executable).with_name("throughline")
    version = await asyncio.create_subprocess_exec(command, "--version", stdout=subprocess.PIPE)
    out, _ = await version.communicate()
    assert out.startswith(b"throughline 0.")
    environment = {**os.environ, "DATABASE_URL": database}
    failing = await asyncio.create_subprocess_exec(
        command,
        "source",
        "create",
        "nowhere",
        "web",
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    out, err = await failing.communicate()
    assert (failing.returncode, out) == (1, b"")
    assert err.splitlines()[-1].startswith(b"error: unknown workspace 'nowhere': there is none yet")
