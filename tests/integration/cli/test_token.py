"""`throughline token`: scope, expiry, maker, and links to the page."""

import json
import os
from pathlib import Path

import pytest

from tests.support.command import Throughline
from throughline.kit.process import user_and_host


@pytest.fixture
async def throughline(database: str) -> Throughline:
    command = Throughline(database)
    await command("workspace", "create", "shop")
    return command


async def test_a_token_tells_what_it_may_and_who_made_it(throughline: Throughline) -> None:
    words = (
        "token",
        "create",
        "--workspace",
        "shop",
        "--name",
        "jobs",
        "--scope",
        "admin",
        "--expires",
        "2d",
        "--json",
    )
    created = (await throughline(*words)).json
    assert created["token"].startswith("tla_")
    assert created["scope"] == "admin"
    (listed,) = (await throughline("token", "list", "--json")).json
    assert (listed["scope"], listed["created_by"]) == ("admin", user_and_host())
    assert listed["expires_at"] == created["expires_at"]
    assert (listed["last_used_at"], listed["revoked_at"]) == (None, None)
    for wrong in (("--scope", "root"), ("--expires", "soon")):
        refused = await throughline("token", "create", "--workspace", "shop", "--name", "x", *wrong)
        assert (refused.status, wrong[0] in refused.err) == (2, True)


async def test_a_link_is_for_a_token_that_is_good(throughline: Throughline, tmp_path: Path) -> None:
    nowhere = ("token", "link", "--data", str(tmp_path))
    assert "nothing runs" in (await throughline(*nowhere)).err
    token = (await throughline("token", "create", "--workspace", "shop", "--name", "page")).out.strip()
    linked = await throughline("token", "link", "1", "--url", "https://numbers.example/")
    assert linked.out.startswith("https://numbers.example/#/open/tlc_")
    assert token not in linked.out
    assert "within 10 minutes" in linked.err
    run = {"database_url": throughline.environment["DATABASE_URL"], "pids": {"api": os.getpid()}}
    run |= {"api_url": "http://localhost:8080", "read_token": token}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert (await throughline(*nowhere)).out.startswith("http://localhost:8080/#/open/tlc_")
    await throughline("token", "revoke", "1", "--yes")
    assert "is revoked or expired" in (await throughline(*nowhere)).err
    acts = (await throughline("audit", "--action", "token link", "--json")).json
    assert [act["arguments"]["id"] for act in acts] == [1, 1]
    assert "tlc_" not in str(acts)
