"""A client that gives one user id to everybody: the links end, the id is listed, and the verdicts say so."""

from typing import Any

import httpx

from services.ingest.validate.links import MAX_REQUEST_LINKS
from services.stager.stage.identity import MAX_CUSTOMER_IDS
from tests.support.stack import Stack, until


def events(first: int, count: int) -> list[dict[str, Any]]:
    return [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": "everybody",
            "anonymousId": f"d{n}",
            "messageId": f"m{n}",
        }
        for n in range(first, first + count)
    ]


async def test_an_id_for_everybody_is_listed_and_warned_of(stack: Stack) -> None:
    ingest, _, api_service = [await stack.start(name) for name in ("ingest", "stager", "api")]
    async with (
        httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as client,
        stack.api(api_service) as api,
    ):
        for first in range(0, MAX_CUSTOMER_IDS + MAX_REQUEST_LINKS, MAX_REQUEST_LINKS):
            answer = await client.post("/v1/batch", json={"batch": events(first, MAX_REQUEST_LINKS)})
            assert first or {verdict["verdict"] for verdict in answer.json()["verdicts"]} == {"ok"}, answer.text

        async def suspects() -> list[dict[str, Any]]:
            items: list[dict[str, Any]] = (await api.get("/v1/identity/suspects")).raise_for_status().json()["items"]
            return items

        async def is_listed() -> bool:
            return [item["refused_links"] for item in await suspects()] == [MAX_REQUEST_LINKS + 1]

        await until(is_listed, what="the id to be listed")
        assert [(item["id"], item["reason"]) for item in await suspects()] == [("everybody", "customer_ids")]

        async def is_warned_of() -> bool:
            answer = await client.post("/v1/batch", json={"batch": events(5_000, 1)})
            (verdict,) = answer.json()["verdicts"]
            return bool(verdict.get("code") == "too_many_ids" and verdict["field"] == "userId")

        await until(is_warned_of, what="the verdict to warn")
        answer = await client.post("/v1/batch", json={"batch": events(6_000, MAX_REQUEST_LINKS + 7)})
        body = answer.json()
        assert (body["accepted"], body["rejected"]) == (MAX_REQUEST_LINKS + 7, 0)
        fields = [verdict["field"] for verdict in body["verdicts"]]
        assert fields == ["userId"] * MAX_REQUEST_LINKS + ["anonymousId"] * 7
