"""`throughline workspace retention` while everything runs: old events go, what is shown stays, and answers say so."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from tests.support.command import Throughline
from tests.support.stack import Stack, until


def event(who: str, name: str, days_ago: int, **more: Any) -> dict[str, Any]:
    at = datetime.now(UTC) - timedelta(days=days_ago)
    return {"type": "track", "userId": who, "event": name, "timestamp": at.isoformat(), **more}


@pytest.fixture
async def api(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with stack.api(await stack.start("api")) as client:
        yield client


async def test_old_events_go_and_what_is_shown_stays(stack: Stack, api: httpx.AsyncClient) -> None:
    throughline = Throughline(stack.database)
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    await stack.start("stager")
    old = [
        event(f"c{n}", "Order Completed", 100, messageId=f"old{n}", properties={"order_id": f"o{n}"}) for n in range(9)
    ]
    new = [event("c1", "Product Viewed", 1, messageId="new1")]

    async def send(*events: dict[str, Any]) -> Any:
        async with httpx.AsyncClient() as client:
            answer = await client.post(
                f"{ingest.url}/v1/batch", json={"batch": list(events)}, auth=(stack.write_key, "")
            )
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def counts() -> dict[str, Any]:
        body: dict[str, Any] = (await api.get("/v1/phases/counts")).raise_for_status().json()
        return body

    async def journey() -> dict[str, Any]:
        body: dict[str, Any] = (await api.get("/v1/customers/c1/journey")).raise_for_status().json()
        return body

    async def stored() -> int:
        connection = await asyncpg.connect(stack.database)
        try:
            stored_touchpoints: int = await connection.fetchval("SELECT count(*) FROM touchpoints")
        finally:
            await connection.close()
        return stored_touchpoints

    async def all_stored() -> bool:
        return await stored() == 10

    await send(*old, *new)
    await until(all_stored, seconds=30, what=lambda: "the events")

    async def lapsed() -> bool:
        return sum(int(phase["lapsed"]) for phase in (await counts())["phases"]) == 8

    await until(lapsed, seconds=30, what=lambda: "the long silence of all but c1 to count")
    before, was = await counts(), await journey()
    assert before["history_from"] is None
    result = await throughline("workspace", "retention", stack.workspace, "--days", "30", "--yes", "--json")
    assert result.status == 0, result.err

    async def cleared() -> bool:
        (row,) = (await throughline("workspace", "retention", stack.workspace, "--json")).json
        return bool(row["deleted"] == 9 and not row["being_deleted"])

    await until(cleared, seconds=60, what=lambda: "the old events to go")
    assert await stored() == 1
    after, now = await counts(), await journey()
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=30)
    assert datetime.fromisoformat(after["history_from"]) == datetime.fromisoformat(now["history_from"]) == midnight
    assert after["phases"] == before["phases"]
    assert now["transitions"] == was["transitions"]
    assert now["phase"] == was["phase"]

    # A late event within the retention cutoff goes on from what is gone: a second order makes c1 loyal.
    await send(event("c1", "Order Completed", 5, messageId="new2", properties={"order_id": "another"}))

    async def loyal() -> bool:
        return bool((await journey())["phase"] == "loyalty")

    await until(loyal, seconds=30, what=lambda: "the second order to count")

    async def refused() -> bool:
        answer = await send(event("c1", "Product Viewed", 31))
        return bool(answer["rejected"] == 1 and answer["verdicts"][0]["code"] == "before_horizon")

    await until(refused, what=lambda: "ingest to know the retention cutoff")


@pytest.mark.parametrize(
    ("words", "says", "status"),
    [
        (("till", "--days", "0", "--yes"), "between 1 and 36500", 1),
        (("tull", "--days", "5", "--yes"), "unknown workspace 'tull'", 1),
        (("--days", "5"), "which workspace?", 2),
        (("till", "--days", "5", "--forever"), "not both", 2),
        (("till", "--days", "5"), "older than 5 days will be deleted", 2),
    ],
)
async def test_what_cannot_be_kept_is_said(database: str, words: tuple[str, ...], says: str, status: int) -> None:
    throughline = Throughline(database)
    await throughline("workspace", "create", "till")
    result = await throughline("workspace", "retention", *words)
    assert result.status == status
    assert says in result.err
    (row,) = (await throughline("workspace", "retention", "--json")).json
    assert row == {"workspace": "till", "days": None, "horizon": None, "deleted": 0, "being_deleted": False}
