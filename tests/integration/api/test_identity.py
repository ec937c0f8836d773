"""Ids with links that were not made: the list, on the api and on the command line."""

import httpx

from services.api.identity.answers import IdentitySuspects
from tests.support.answers import ok, refused
from tests.support.command import Throughline
from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack
from throughline.kit.clock import rfc3339
from throughline.store.digest import id_digest


async def insert(rows: Rows, workspace: int, number: int, reason: str = "customer_ids") -> None:
    await rows.execute(
        "insert into identity_suspects values ($1, $2, $3, $4, $5, $6, $7)",
        workspace,
        id_digest(workspace, f"id-{number}"),
        f"id-{number}",
        reason,
        number + 1,
        AT_US,
        AT_US + number // 2,
    )


async def test_suspects_in_pages_newest_first(api: httpx.AsyncClient, rows: Rows) -> None:
    assert await ok(api, "/v1/identity/suspects", IdentitySuspects) == {"items": [], "next_cursor": None}
    for number in range(25):
        await insert(rows, rows.workspace, number)
        await insert(rows, rows.workspace + 1, number)
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        page = await ok(api, "/v1/identity/suspects", IdentitySuspects, limit=7, **cursor)
        seen += [item["id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        assert len(page["items"]) == 7
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == len(set(seen)) == 25
    assert [int(id.removeprefix("id-")) // 2 for id in seen] == sorted((n // 2 for n in range(25)), reverse=True)
    await refused(api, 400, "bad_cursor", "/v1/identity/suspects", cursor="x")


async def test_what_is_said_of_a_suspect(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    await insert(rows, rows.workspace, 4, "id_links")
    (item,) = (await ok(api, "/v1/identity/suspects", IdentitySuspects))["items"]
    assert item == {
        "id": "id-4",
        "reason": "id_links",
        "refused_links": 5,
        "first_seen": rfc3339(AT_US),
        "last_seen": rfc3339(AT_US + 2),
    }
    throughline = Throughline(stack.database)
    shown = await throughline("identity", "suspects", "--json")
    assert shown.status == 0, shown.err
    assert [(row["id"], row["limit"], row["refused_links"]) for row in shown.json] == [("id-4", "id_links", 5)]
    assert "id-4" in (await throughline("identity", "suspects")).out
