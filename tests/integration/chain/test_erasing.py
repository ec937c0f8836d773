"""A person is forgotten, end to end: by command, by api and by a shop's webhook; and a replay of the log obeys."""

import asyncio
import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.command import Throughline
from tests.support.stack import Stack, until

SECRET = "shop-secret"
PERSONAL = ("touchpoints", "ids", "links", "journeys", "transitions", "recent_events", "rejected")


@pytest.fixture
def throughline(stack: Stack) -> Throughline:
    command = Throughline(stack.database)
    command.environment |= {"KAFKA": stack.kafka, "TOUCHPOINTS_TOPIC": stack.touchpoints}
    return command


async def dump(stack: Stack, database: str | None = None) -> dict[str, str]:
    """Every row of every personal table, as text."""
    connection = await asyncpg.connect(database or stack.database)
    try:
        return {table: "\n".join(sorted([row[0] async for row in _rows(connection, table)])) for table in PERSONAL}
    finally:
        await connection.close()


async def _rows(connection: asyncpg.Connection, table: str) -> Any:
    for row in await connection.fetch(f"SELECT {table}::text FROM {table}"):
        yield row
    if table == "rejected":
        for row in await connection.fetch("SELECT convert_from(payload, 'UTF8') FROM rejected"):
            yield row


async def counts(api: httpx.AsyncClient) -> dict[str, Any]:
    answer: dict[str, Any] = (await api.get("/v1/phases/counts")).json()
    for phase in answer["phases"]:
        assert phase["entered"] == phase["now"] + phase["left"]
    return answer


def event(number: int, name: str = "Product Viewed", **ids: str) -> dict[str, Any]:
    return {"type": "track", "event": name, "messageId": f"m{number}", **ids}


async def send(client: httpx.AsyncClient, stack: Stack, *events: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await client.post("/v1/batch", json={"batch": list(events)}, auth=(stack.write_key, ""))
    assert answer.status_code == 200, answer.text
    verdicts: list[dict[str, Any]] = answer.json()["verdicts"]
    return verdicts


PEOPLE = [
    event(1, userId="ada", anonymousId="phone"),
    event(2, "Order Completed", userId="ada"),
    event(3, anonymousId="phone"),
    event(4, "Coffee Spilled", userId="ada"),
    event(5, userId="bob", anonymousId="phone"),
    event(6, userId="bob"),
    {"type": "alias", "userId": "ada", "previousId": "ada@x.example", "messageId": "m7"},
    event(8, anonymousId="tablet"),
    event(9, userId="carol", anonymousId="tablet"),
    {"type": "track", "event": ["no name"], "userId": "ada", "messageId": "m10"},
    {"type": "track", "event": ["no name"], "userId": "bob", "messageId": "m11"},
]


async def test_a_person_is_erased_suppressed_and_proved_gone_and_a_replay_ends_the_same(
    stack: Stack, throughline: Throughline, tmp_path: Path
) -> None:
    await stack.start("stager")
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    api_service = await stack.start("api")
    async with httpx.AsyncClient(base_url=ingest.url) as client, stack.api(api_service) as api:
        await send(client, stack, *PEOPLE)

        async def staged() -> bool:
            answer = await api.get("/v1/customers/carol/journey")
            rejected = (await api.get("/v1/rejected")).json()
            return answer.status_code == 200 and len(rejected["items"]) == 2

        await until(staged)
        before = await counts(api)

        export = await throughline("identity", "export", "phone", "-o", str(tmp_path / "ada.json"))
        assert export.status == 0, export.err
        person = json.loads((tmp_path / "ada.json").read_text())
        assert person["customer"] == "ada"
        assert {row["name"] for row in person["ids"]} == {"ada", "ada@x.example", "phone"}
        assert {row["message_id"] for row in person["touchpoints"]} == {"m1", "m2", "m3", "m4", "m7"}
        assert len(person["rejected"]) == 1
        assert "bob" not in (tmp_path / "ada.json").read_text()

        refused = await throughline("identity", "erase", "ada")
        assert refused.status == 2, refused.err
        erased = await throughline("identity", "erase", " ada ", "--yes", "--json")
        assert erased.status == 0, erased.err
        assert erased.json["ids"] == 3
        assert erased.json["touchpoints"] == 5
        assert erased.json["log_clear_at"] > erased.json["done_at"]
        assert set(erased.json["proof"].values()) == {0}

        for table, rows in (await dump(stack)).items():
            for name in ("ada", "phone"):
                assert name not in rows, (table, rows)
        after = await counts(api)
        assert after["customers"] == before["customers"] - 1
        assert (await api.get("/v1/customers/ada/journey")).status_code == 404
        assert (await api.get("/v1/customers/bob/journey")).status_code == 200

        again = await throughline("identity", "erase", "ada", "--yes")
        assert (again.status, "suppressed already" in again.err) == (0, True), again.err

        async def is_dropped() -> bool:
            (verdict,) = await send(client, stack, event(20, userId="ada"))
            return (verdict["verdict"], verdict.get("code")) == ("dropped", "suppressed")

        await until(is_dropped)
        verdicts = await send(
            client, stack, event(21, userId="bob", anonymousId="phone"), event(22, anonymousId="phone")
        )
        assert [verdict["verdict"] for verdict in verdicts] == ["ok", "dropped"]

        async def bobs_is_staged() -> bool:
            return "m21" in (await dump(stack))["touchpoints"]

        await until(bobs_is_staged)
        assert "phone" not in (await dump(stack))["touchpoints"]
        expected = await dump(stack)

    await _replay(stack, expected)


async def _replay(stack: Stack, expected: dict[str, str]) -> None:
    """Stage the log again from its beginning: the erased are nowhere, the others are as they were."""
    connection = await asyncpg.connect(stack.database)
    try:
        for service in stack.services:
            if service.name == "stager":
                await service.child.stop()
        tables = await connection.fetch(
            "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') "
            "AND NOT relispartition AND relname NOT IN ('alembic_version', 'workspaces', 'sources', 'write_keys', "
            "'read_tokens', 'models', 'audit')"
        )
        await connection.execute(f"TRUNCATE {', '.join(row[0] for row in tables)}")
        await connection.execute("UPDATE workspaces SET suppressed = 0, version = version + 1")
    finally:
        await connection.close()
    await stack.start("stager", CONSUMER_GROUP=f"again-{stack.touchpoints}")

    async def is_same() -> bool:
        rebuilt = await dump(stack)
        return all(rebuilt[table] == expected[table] for table in ("touchpoints", "ids", "links"))

    await until(is_same, seconds=60)
    await asyncio.sleep(1)
    for table, rows in (await dump(stack)).items():
        for name in ("ada", "phone"):
            assert name not in rows, (table, rows)


async def test_the_api_and_a_shop_erase_and_export(stack: Stack, throughline: Throughline) -> None:
    await stack.start("stager")
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    api_service = await stack.start("api")
    token = {"Authorization": f"Bearer {await stack.admin_token()}"}
    set_secret = await throughline("source", "set", stack.workspace, "web", "--webhook-secret", SECRET)
    assert set_secret.status == 0, set_secret.err
    async with httpx.AsyncClient(base_url=ingest.url) as client, stack.api(api_service) as api:
        answer = await api.post("/v1/erasures", json={"id": "nobody"})
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
        for body in ({}, {"id": ""}, {"id": " "}, {"id": 7}, {"id": "x" * 600}, {"id": "a", "more": 1}, {"id": "\0"}):
            answer = await api.post("/v1/erasures", json=body, headers=token)
            assert answer.status_code == 400, (body, answer.text)
        answer = await api.get("/v1/erasures/none", headers=token)
        assert (answer.status_code, answer.json()["code"]) == (404, "unknown_erasure")

        accepted = (await api.post("/v1/erasures", json={"id": "nobody", "once": True}, headers=token)).json()
        assert accepted["state"] == "accepted"

        async def done() -> Any:
            erasure = await api.get(f"/v1/erasures/{accepted['id']}", headers=token)
            return erasure.status_code == 200 and erasure.json()["state"] == "done" and erasure.json()

        erasure = await until(done)
        assert set(erasure["proof"].values()) == {0}
        assert erasure["log_clear_at"] == accepted["log_clear_at"]
        assert (await api.get("/v1/erasures", headers=token)).json() == {"items": [erasure], "next_cursor": None}

        async def webhook(topic: str, body: dict[str, Any], secret: str = SECRET) -> httpx.Response:
            content = json.dumps(body).encode()
            signature = base64.b64encode(hmac.digest(secret.encode(), content, hashlib.sha256)).decode()
            return await client.post(
                f"/v1/shopify?writeKey={stack.write_key}",
                content=content,
                headers={"X-Shopify-Topic": topic, "X-Shopify-Hmac-Sha256": signature},
            )

        async def is_signed() -> bool:
            return (await webhook("orders/create", {"id": 9, "customer": {"id": 7}})).status_code == 200

        await until(is_signed)
        redact = {"customer": {"id": 7, "email": "Ada@x.example"}, "orders_to_redact": [9]}
        assert (await webhook("customers/redact", redact, "other")).status_code == 401

        async def is_staged() -> bool:
            return (await api.get("/v1/customers/7/journey")).status_code == 200

        await until(is_staged)
        request = {"customer": {"id": 7}, "data_request": {"id": 1}}
        assert (await webhook("customers/data_request", request)).status_code == 200

        async def requests() -> Any:
            return (await api.get("/v1/exports", headers=token)).json()["items"]

        (listed,) = await until(requests)
        export = (await api.get(f"/v1/exports/{listed['id']}", headers=token)).json()
        assert export["customer"] == "7"
        assert {row["name"] for row in export["touchpoints"]} >= {"orders/create"}
        assert (await api.post("/v1/exports", json={"id": "7"}, headers=token)).json()["customer"] == "7"

        assert (await webhook("customers/redact", redact)).status_code == 200

        async def is_gone() -> bool:
            return (await api.get("/v1/customers/7/journey")).status_code == 404

        await until(is_gone)

        async def has_no_request() -> bool:
            return not await requests()

        # The journey goes first, the ids and what stands under them at the end.
        await until(has_no_request)

        async def is_dropped() -> bool:
            answer = await webhook("orders/create", {"id": 10, "customer": {"id": 7}})
            return bool(answer.json()["dropped"])

        await until(is_dropped)
