"""`throughline audit`: every command that administers leaves an entry, which keeps no secret and no person's id."""

import re
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup
from typer.main import get_command

from tests.conftest import execute
from tests.support.command import Throughline
from throughline.cli import app
from throughline.cli.common.database import in_database
from throughline.kit.clock import now_us
from throughline.kit.process import user_and_host
from throughline.kit.secret_box import new_key
from throughline.store.access.workspaces import create_workspace

ADMINISTRATION = {
    "init",
    "migrate", "workspace create", "workspace retention", "source create", "source set", "source disable",
    "source enable", "key create", "key rotate", "key revoke", "token create", "token revoke", "token link",
    "model add", "model use", "model retire", "restage", "identity unlink", "identity relink", "rejected replay",
    "rejected export", "secrets rotate", "identity erase", "identity export", "workspace set", "cost import",
}  # fmt: skip
"""Commands that change something, or take events or a person's data out. Each writes an entry of this action."""
OTHERS = {
    "run",  # writes one of the action `run`, when it makes keys
    "demo", "replay-csv", "import",  # send events, as clients do
    "workspace list", "source list", "source show", "key list", "token list", "model check", "model list", "model show",
    "identity show", "identity suspects", "secrets key", "tail", "rejected list", "rejected show", "audit", "doctor",
}  # fmt: skip


@pytest.fixture
def throughline(database: str) -> Throughline:
    return Throughline(database)


def commands() -> Iterator[str]:
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    context = typer.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, TyperGroup):
            yield from (f"{name} {inner}" for inner in command.list_commands(context))
        else:
            yield name


def test_it_is_known_of_every_command_whether_it_administers() -> None:
    assert set(commands()) == ADMINISTRATION | OTHERS


async def test_administration_leaves_entries(throughline: Throughline) -> None:
    throughline.environment["ENCRYPTION_KEYS"] = new_key()
    secret = "whsec-0123456789"
    assert (await throughline("migrate")).status == 0
    await throughline("workspace", "create", "shop", "--time-zone", "Europe/Vienna")
    await throughline("source", "create", "shop", "web")
    await throughline("source", "set", "shop", "web", "--rate", "10", "--webhook-secret", secret, "--unset", "ip")
    await throughline("source", "disable", "shop", "web")
    await throughline("source", "enable", "shop", "web")
    await throughline("workspace", "retention", "shop", "--days", "400", "--yes")
    key = (await throughline("key", "create", "--workspace", "shop", "--source", "web")).out.strip()
    rotated = (await throughline("key", "rotate", key)).out.strip()
    await throughline("key", "revoke", rotated, "--yes")
    token = (
        await throughline(
            "token", "create", "--workspace", "shop", "--name", "x", "--scope", "admin", "--expires", "1h"
        )
    ).out.strip()
    await throughline("token", "revoke", token, "--yes")
    await throughline("restage", "--model", "six_stage", "--no-wait")
    await throughline("model", "use", "seven_phase")
    await throughline("model", "retire", "six_stage", "--yes")
    refused = await throughline("key", "create", "--workspace", "shop", "--source", "nowhere")
    assert refused.status == 1

    entries = (await throughline("audit", "--json")).json
    assert [entry["action"] for entry in reversed(entries)] == [
        "migrate", "workspace create", "source create", "source set", "source disable", "source enable",
        "workspace retention", "key create", "key rotate", "key revoke", "token create", "token revoke", "restage",
        "model use", "model retire",
    ]  # fmt: skip
    assert {entry["who"] for entry in entries} == {user_and_host()}
    assert all(re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", entry["at"]) for entry in entries)
    by_action = {entry["action"]: entry["arguments"] for entry in entries}
    assert by_action["source set"] == {
        "workspace": "shop", "source": "web", "rate_events": 10, "webhook_secret": "(not shown)", "ip": "(default)",
    }  # fmt: skip
    assert by_action["key revoke"] | {"id": 0} == {
        "workspace": "shop", "source": "web", "id": 0, "key": rotated[:10],
    }  # fmt: skip
    created = by_action["token create"]
    assert (created["token"], created["scope"], created["name"]) == (f"{token[:10]}...", "admin", "x")
    assert by_action["model retire"] == {"workspace": "shop", "model": "six_stage"}
    shown = (await throughline("audit")).out
    for hidden in (secret, key, rotated, token):
        assert hidden not in str(entries) + shown
    assert "webhook_secret=(not shown)" in shown


async def test_filters_and_pages(throughline: Throughline) -> None:
    assert "nothing was done" in (await throughline("audit")).err
    for name in ("shop", "other", "sh%p"):
        await throughline("workspace", "create", name)
    await throughline("token", "create", "--workspace", "other", "--name", "x")

    async def done(*words: str) -> list[str]:
        entries = (await throughline("audit", *words, "--json")).json
        return [f"{entry['action']} {entry['arguments']['workspace']}" for entry in entries]

    everything = ["token create other", "workspace create sh%p", "workspace create other", "workspace create shop"]
    assert await done() == everything
    assert await done("--workspace", "other") == ["token create other", "workspace create other"]
    assert await done("--action", "token") == await done("--action", "token create") == everything[:1]
    assert await done("--action", "tok") == []
    assert await done("--who", user_and_host().partition("@")[0]) == everything
    assert await done("--who", "%") == []
    assert await done("--since", "1h") == everything
    assert await done("--until", "1h") == []
    page = await throughline("audit", "--limit", "3")
    last = re.search(r"--before (\d+)", page.err)
    assert last is not None
    assert await done("--limit", "3", "--before", last[1]) == everything[3:]
    wrong = await throughline("audit", "--since", "yesterday")
    assert (wrong.status, "--since" in wrong.err) == (2, True)


async def test_a_change_whose_entry_cannot_be_written_is_not_made(throughline: Throughline, database: str) -> None:
    await execute(database, "ALTER TABLE audit_log ADD CHECK (action <> 'workspace create')")
    assert (await throughline("workspace", "create", "shop")).status == 1
    assert (await throughline("workspace", "list", "--json")).json == []


def test_a_command_that_only_reads_cannot_change_anything(
    database: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", database)
    with pytest.raises(typer.Exit):
        in_database(lambda c: create_workspace(c, "shop", now_us=now_us()), None)
    assert "cannot execute INSERT in a read-only transaction" in capsys.readouterr().err
