"""Refused events on their way: ingest to the rejected topic, stager to its index, the api to whoever sent them."""

import asyncio
import re
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import select

from services.stager.rejected.index import SAMPLE
from tests.support.rejected import Reader
from tests.support.stack import Stack
from throughline.kit.clock import now_us, rfc3339
from throughline.store import rejected as store
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction
from throughline.store.rejected import Reason
from throughline.store.schema.operations import rejected
from throughline.wire.codec import Rejected, encode_rejected

GOOD = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "good"}
NAMELESS = {"type": "track", "userId": "ada", "messageId": "bad"}
NOBODY = {"type": "page", "name": "Café", "messageId": "who"}
HOUR_US = 3_600_000_000
BASE_US = (now_us() // HOUR_US - 2) * HOUR_US
"""The start of an hour not long ago."""


async def refuse(stack: Stack, number: int, *, first: int = 0, code: str = "missing_field", **also: Any) -> None:
    """Put refusals on the topic as ingest does, a second between two of them."""
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        for n in range(first, first + number):
            values: dict[str, Any] = {
                "workspace": stack.workspace_id,
                "source": 1,
                "received_us": BASE_US + n * 1_000_000,
            }
            values |= {"stage": "ingest", "code": code, "field": "event", "message": "why", "payload": b"%d" % n} | also
            await producer.send(stack.rejected, encode_rejected(Rejected(**values)))


async def test_whoever_sent_it_sees_what_was_wrong(stack: Stack) -> None:
    ingest, _, api = [await stack.start(name) for name in ("ingest", "stager", "api")]
    read = Reader(stack, api)
    assert await read() == {"counts": [], "sampled": False, "items": [], "next_cursor": None}
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        answer = await client.post("/v1/batch", json={"batch": [GOOD, NAMELESS, NOBODY]}, auth=(stack.write_key, ""))
    assert answer.json()["rejected"] == 2
    await read.wait(2)
    page = await read()
    assert {(item["code"], item["field"], item["name"], item["message_id"]) for item in page["items"]} == {
        ("missing_field", "event", "", "bad"),
        ("missing_id", "userId", "Café", "who"),
    }
    assert all(item["stage"] == "ingest" and item["payload_encoding"] == "utf-8" for item in page["items"])
    (nameless,) = (await read(code="missing_field"))["items"]
    assert httpx.Response(200, text=nameless["payload"]).json() == NAMELESS
    assert nameless["payload_bytes"] == len(nameless["payload"])
    assert nameless["request"] == "POST /v1/batch"
    assert re.fullmatch("[0-3]/[01]", nameless["record"])
    assert sorted((count["code"], count["events"], count["kept"]) for count in page["counts"]) == [
        ("missing_field", 1, 1),
        ("missing_id", 1, 1),
    ]
    assert not page["sampled"]
    assert await read.events(stage="stager") == 0


async def test_what_stager_refuses_is_there_too_and_what_nobody_can_read_harms_nothing(stack: Stack) -> None:
    api = await stack.start("api")
    await refuse(stack, 1, stage="stager", code="unknown_call", payload=b"\xff\x00\x01", origin="touchpoints/0/7")
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        await producer.send(stack.rejected, b"\xff\xff not a rejection")
    await refuse(stack, 1, message="a NUL \0 in it", payload=b"\xc3\xa9" * 10_000)
    await stack.start("stager")
    read = Reader(stack, api)
    await read.wait(2)
    by_code = {item["code"]: item for item in (await read())["items"]}
    poison = by_code["unknown_call"]
    assert (poison["payload"], poison["payload_encoding"], poison["origin"]) == ("/wAB", "base64", "touchpoints/0/7")
    long = by_code["missing_field"]
    assert long["message"] == "a NUL \N{REPLACEMENT CHARACTER} in it"
    assert (long["payload"], long["payload_bytes"]) == ("\xe9" * 8_192, 20_000)
    # Whose it was can not be told: it is in the index, and no workspace sees it.
    assert {count["code"] for count in (await read())["counts"]} == {"unknown_call", "missing_field"}


async def test_a_list_goes_on_where_a_page_ended(stack: Stack) -> None:
    api, _ = await stack.start("api"), await stack.start("stager")
    await refuse(stack, 30)
    await refuse(stack, 10, first=30, code="missing_id")
    read = Reader(stack, api)
    await read.wait(40)
    pages, cursor = [], None
    while True:
        page = await read(limit=7, **({} if cursor is None else {"cursor": cursor}))
        pages.append([int(item["payload"]) for item in page["items"]])
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert [len(page) for page in pages] == [7, 7, 7, 7, 7, 5]
    assert [number for page in pages for number in page] == list(range(39, -1, -1))
    some = await read(code="missing_id", limit=200)
    assert [int(item["payload"]) for item in some["items"]] == list(range(39, 29, -1))
    late = await read(**{"from": rfc3339(BASE_US + 10_000_000), "to": rfc3339(BASE_US + 12_000_000)})
    assert [int(item["payload"]) for item in late["items"]] == [11, 10]


async def test_a_flood_is_counted_in_full_and_kept_as_a_sample_whatever_dies(stack: Stack, database: str) -> None:
    api, stager = await stack.start("api"), await stack.start("stager")
    read = Reader(stack, api)
    sending = asyncio.create_task(refuse(stack, 3_000))
    await read.wait(1)
    await stager.child.kill()
    await sending
    await stack.start("stager")
    await read.wait(3_000)
    answer = await read()
    (count,) = answer["counts"]
    assert (count["events"], answer["sampled"]) == (3_000, True)
    connection = await asyncpg.connect(database)
    try:
        stored = await connection.fetchval("select count(*) from rejected")
        shards = await connection.fetch("select kept, events from rejected_counts")
        oldest = await connection.fetchval("select min(convert_from(payload, 'UTF8')::int) from rejected")
    finally:
        await connection.close()
    assert count["kept"] == stored
    assert [row["kept"] for row in shards] == [min(row["events"], SAMPLE) for row in shards]
    assert oldest > 0, "the sample has the first events, not the newest"
    assert any(item["payload"] == "2999" for item in answer["items"])
    assert await read.events(**{"from": rfc3339(BASE_US + HOUR_US)}) == 0


@pytest.mark.parametrize(
    ("query", "field", "code"),
    [
        ({"source": "nowhere"}, "source", "unknown_source"),
        ({"from": "yesterday"}, "from", None),
        ({"cursor": "x"}, "cursor", "bad_cursor"),
        ({"limit": "1000"}, "limit", None),
        ({"reason": "x"}, "reason", None),
    ],
)
async def test_a_wrong_question_is_told_which_part_is_wrong(
    stack: Stack, query: dict[str, str], field: str, code: str | None
) -> None:
    api = await stack.start("api")
    headers = {"Authorization": f"Bearer {stack.read_token}"}
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"{api.url}/v1/rejected", params=query, headers=headers)
        assert (await client.get(f"{api.url}/v1/rejected")).status_code == 401
    assert answer.status_code == 400
    assert field in answer.text
    assert code is None or answer.json()["code"] == code


async def test_what_is_kept_is_forgotten_in_time_and_stays_counted(database: str) -> None:
    engine = create_engine(database)
    reason = Reason(1, BASE_US, 1, "ingest", "missing_field")
    rows = [
        (1, 1, BASE_US + n, "ingest", "missing_field", "event", "why", "", f"m{n}", b"{}", "", "", "")
        for n in range(10)
    ]
    try:
        async with transaction(engine) as connection:
            await store.add_counts(connection, 0, [(reason, 10, 10)])
            await store.insert_kept(connection, rows)
        async with transaction(engine) as connection:
            dropped = [await store.drop_old(connection, BASE_US + 7, at_most=5) for _ in range(3)]
            left = (await connection.execute(select(rejected.c.message_id).order_by(rejected.c.id))).scalars().all()
            assert await store.read_kept(connection, 0, [reason]) == {reason: 10}
    finally:
        await engine.dispose()
    assert dropped == [5, 2, 0]
    assert left == ["m7", "m8", "m9"]
