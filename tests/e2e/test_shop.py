"""A real shop's events through ingest, Kafka and the stager: the api finds the bug and the incident in them."""

import asyncpg
import httpx

from tests.support.rows import Rows
from tests.support.stack import Stack, until
from tests.support.visits_shop import (
    MODEL,
    check_friction,
    check_stays,
    check_the_bug_and_the_incident,
    check_variants,
    shop_events,
)
from throughline.kit.clock import rfc3339

BATCH = 200


async def test_the_figures_of_the_shop(stack: Stack) -> None:
    async with Rows(stack.database, stack.workspace_id) as rows:
        await rows.live("checkout", document=MODEL)
    ingest = await stack.start("ingest")
    await stack.start("stager")
    api = await stack.start("api")
    events = [
        {
            "type": "track",
            "messageId": f"{event.number:06}",
            "userId": event.customer,
            "event": event.name,
            "timestamp": rfc3339(event.at_us),
            "context": {"device": {"type": event.device}},
            "properties": {"acquisition_channel": event.channel}
            | ({"order_id": f"o{event.number}"} if event.name == "purchase" else {}),
        }
        for event in shop_events()
    ]
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as shop:
        for start in range(0, len(events), BATCH):
            sent = await shop.post("/v1/batch", json={"batch": events[start : start + BATCH]})
            assert sent.json()["accepted"] == len(events[start : start + BATCH]), sent.text
    connection = await asyncpg.connect(stack.database)
    try:

        async def is_staged() -> bool:
            settled = await connection.fetchval("select min(swept_us) > 0 from offsets having count(*) = 4")
            return bool(settled) and await connection.fetchval("select count(*) from touchpoints") == len(events)

        await until(is_staged, seconds=90, what="the shop to be staged")
    finally:
        await connection.close()
    async with stack.api(api) as client:

        async def is_settled() -> bool:
            answer = await client.get("/v1/phases/counts", params={"model": "checkout"})
            return answer.status_code == 200 and answer.json()["settled_until"] is not None

        await until(is_settled, seconds=60, what="an applied watermark")
        await check_the_bug_and_the_incident(client)
        await check_friction(client)
        await check_stays(client)
        await check_variants(client)
