"""Customers by how an id begins."""

from dataclasses import replace
from typing import Any

import httpx

from services.api.search.answers import Suggestions
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, Rows
from tests.support.stack import until
from throughline.kit.clock import rfc3339
from throughline.store.access.suppressions import FOR_EVER
from throughline.store.digest import id_digest

PATH = "/v1/customers/search"


async def person(rows: Rows, customer: str, *ids: str) -> None:
    await rows.customer(customer, [(0, 1), (5, 4)])
    await rows.link(customer, None)
    for id_ in ids:
        await rows.link(id_, customer)


async def search(api: httpx.AsyncClient, text: str, **parameters: Any) -> list[tuple[str, str]]:
    answer = await ok(api, PATH, Suggestions, text=text, **parameters)
    return [(item["customer"], item["id"]) for item in answer["items"]]


async def test_by_the_beginning_of_any_id_in_any_case(api: httpx.AsyncClient, rows: Rows) -> None:
    await person(rows, "user-1", "Ada@Shop.Example", "anon-77", "9001")
    await person(rows, "user-2", "adam@shop.example", "ADA", "anon-78")
    await person(rows, "Émile", "anon-79")
    await person(rows, "100%_sure\\", "a'b\"c; drop table ids", "🦊 fox", "مرحبا")
    await person(rows, "x" * 512)
    await rows.link("a bot's", None)  # an id without a journey

    answer = await ok(api, PATH, Suggestions, text=" ADA@ ")
    assert answer == {
        "model": "seven_phase",
        "items": [
            {
                "customer": "user-1",
                "id": "Ada@Shop.Example",
                "phase": "purchase",
                "activity": "active",
                "last_seen": rfc3339(AT_US + 5_000_000),
            }
        ],
        "has_more": False,
    }
    assert await search(api, "ada") == [("user-2", "ADA"), ("user-1", "Ada@Shop.Example")]
    assert await search(api, "anon-7") == [("user-1", "anon-77"), ("user-2", "anon-78"), ("Émile", "anon-79")]
    assert await search(api, "9001") == [("user-1", "9001")]
    assert await search(api, "éMILE") == [("Émile", "Émile")]
    assert await search(api, "ÉM") == [("Émile", "Émile")]
    assert await search(api, "e\u0301mi".title()) == [("Émile", "Émile")]
    for hostile in ("100%_", "a'b\"c;", "🦊", "مرح"):
        assert [customer for customer, _ in await search(api, hostile)] == ["100%_sure\\"]
    assert await search(api, "X" * 512) == [("x" * 512, "x" * 512)]
    for nobody in ("%", "_", "a bot's", "x" * 513, "", "  ", "\U0010ffff", "ada@shop.example.org", "*"):
        assert await search(api, nobody) == []
    await refused(api, 400, "invalid_parameter", PATH, text="a\0b")
    await refused(api, 400, "invalid_parameter", PATH, text="a" * 1001)
    await refused(api, 400, "missing_parameter", PATH)
    await refused(api, 400, "invalid_parameter", PATH, text="a", limit=21)
    response = await api.get(f"{PATH}.csv", params={"text": "anon-77"})
    assert response.text.splitlines()[0].startswith("customer,id,phase")


async def test_a_customer_with_many_ids_alike_leaves_room(api: httpx.AsyncClient, rows: Rows) -> None:
    await person(rows, "one", *(f"s-{number:03}" for number in range(150)))
    await person(rows, "two", "s-150")
    for number in range(30):
        await person(rows, f"t-{number:02}")
    assert await search(api, "s-") == [("one", "s-000"), ("two", "s-150")]
    answer = await ok(api, PATH, Suggestions, text="t-", limit=20)
    assert [item["customer"] for item in answer["items"]] == [f"t-{number:02}" for number in range(20)]
    assert answer["has_more"]
    assert not (await ok(api, PATH, Suggestions, text="t-1", limit=10))["has_more"]


async def test_another_workspace_and_another_model_are_apart(api: httpx.AsyncClient, rows: Rows) -> None:
    elsewhere = replace(rows, workspace=rows.workspace + 1, model=rows.model + 100, _roots={})
    elsewhere._connection = rows._connection
    await person(elsewhere, "ada-1")
    assert await search(api, "ada") == []
    await person(rows, "ada-2")
    assert await search(api, "ada") == [("ada-2", "ada-2")]
    await rows.live("six_stage")
    assert await search(api, "ada", model="six_stage") == []
    await refused(api, 400, "unknown_model", PATH, text="ada", model="none")


async def test_who_is_erased_is_not_found_until_it_comes_back(api: httpx.AsyncClient, rows: Rows) -> None:
    for name, until_us in (("ever", FOR_EVER), ("once", AT_US + 9), ("back", AT_US - 9), ("kept", None)):
        await person(rows, f"ada-{name}", f"ada-{name}-anon")
        if until_us is not None:
            await rows.execute(
                "insert into suppressions (workspace, digest, until_us) values ($1, $2, $3)",
                rows.workspace,
                id_digest(rows.workspace, f"ada-{name}-anon"),
                until_us,
            )
    for name, until_us, state in (("of-once", AT_US + 9, "asked"), ("of-back", AT_US - 9, "done")):
        await rows.execute(
            "insert into erasures (workspace, name, shard, state, once, until_us, subjects, digests, cursor, "
            "touchpoints) values ($1, $2, 0, $3, true, $4, '', '', 0, 0)",
            rows.workspace,
            name,
            state,
            until_us,
        )
    assert [customer for customer, _ in await search(api, "ada")] == ["ada-back", "ada-kept"]

    await rows.execute("update workspaces set min_cell = 10 where id = $1", rows.workspace)

    async def is_withheld() -> bool:
        return (await api.get(PATH, params={"text": "ada"})).status_code == 403

    await until(is_withheld, what="a workspace with a min_cell to list nobody")
