"""`throughline rejected`, beside everything that runs: what was refused for a fault arrives once, when it is mended."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from aiokafka import AIOKafkaProducer

from tests.support.command import Result, Throughline
from tests.support.stack import OPERATOR_SECRET, Service, Stack, until
from tests.support.topic import read_rejected
from throughline.kit.clock import now_us, rfc3339
from throughline.wire.codec import Touchpoint, encode

FAR_US = 4_102_444_800_000_000  # 2100
HOUR_US = 3_600_000_000


class Shop:
    """A running ingest and stager whose workspace can be made to refuse everything, and the command beside them."""

    def __init__(self, stack: Stack, ingest: Service, connection: asyncpg.Connection) -> None:
        self.stack = stack
        self.ingest = ingest
        self.connection = connection
        self.environment = {
            "DATABASE_URL": stack.database,
            "KAFKA": stack.kafka,
            "OPERATOR_SECRET": OPERATOR_SECRET,
            "TOUCHPOINTS_TOPIC": stack.touchpoints,
            "REJECTED_TOPIC": stack.rejected,
            "PATH": "/usr/bin:/bin",
            "COLUMNS": "200",
        }
        self.command = Throughline(stack.database)
        self.command.environment |= self.environment

    async def post(self, path: str, body: Any, key: str = "", **query: str) -> Any:
        auth = (key or self.stack.write_key, "")
        async with httpx.AsyncClient(base_url=self.ingest.url, auth=auth) as client:
            answer = await client.post(path, json=body, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def refuse_all(self, refuse: bool) -> None:
        """The fault: a retention cutoff in the future."""
        statement = "UPDATE workspaces SET horizon_us = $1, version = version + 1"
        await self.connection.execute(statement, FAR_US if refuse else None)

        async def seen() -> bool:
            answer = await self.post("/v1/page", {"userId": "probe", "messageId": "probe"})
            return bool(answer["rejected"]) == refuse

        await until(seen)

    async def replay(self, *words: str, key: str = "") -> Result:
        target = ("--url", self.ingest.url, "--key", key or self.stack.write_key)
        return await self.command("rejected", "replay", *target, *words)

    async def replay_as_an_operator(self) -> Result:
        """In a process of its own, as a terminal would."""
        target = ("--url", self.ingest.url, "--key", self.stack.write_key)
        process = await asyncio.create_subprocess_exec(
            Path(sys.executable).with_name("throughline"),
            "rejected",
            "replay",
            *target,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate()
        assert process.returncode is not None
        return Result(out.decode(), err.decode(), process.returncode)

    async def facts(self) -> list[Any]:
        """What is staged, but for the probes."""
        return await self.connection.fetch(
            "SELECT message_id, occurred_us, name, rest FROM touchpoints WHERE message_id <> 'probe'"
        )


@pytest.fixture
async def shop(stack: Stack) -> AsyncIterator[Shop]:
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    await stack.start("stager")
    connection = await asyncpg.connect(stack.database)
    yield Shop(stack, ingest, connection)
    await connection.close()


async def put_unknown(stack: Stack, workspace: int) -> None:
    """A record that a stager refuses as long as there is no such workspace."""
    about: dict[str, Any] = {"call": "track", "name": "Product Viewed", "channel": "direct", "actor": "eve"}
    about |= dict.fromkeys(("anonymous_id", "previous_id", "order_id", "currency", "product_id"), "")
    about |= dict.fromkeys(("value", "rating", "score", "quantity")) | {"warnings": (), "rest": "{}", "user_id": "eve"}
    about |= {"occurred_us": now_us(), "received_us": now_us(), "client_us": 0, "place": 0}
    touchpoint = Touchpoint(workspace=workspace, source=1, message_id="restored", **about)
    async with AIOKafkaProducer(bootstrap_servers=stack.kafka) as producer:
        await producer.send_and_wait(stack.touchpoints, encode(touchpoint), key=b"eve")


async def test_what_was_refused_for_a_fault_arrives_once_when_it_is_mended(shop: Shop, tmp_path: Path) -> None:
    stack = shop.stack
    await shop.command("source", "create", stack.workspace, "app")
    app_key = (await shop.command("key", "create", "--workspace", stack.workspace, "--source", "app")).out.strip()
    await shop.refuse_all(True)
    sent_us = now_us() - HOUR_US  # a clock that is an hour slow
    waiting = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "skewed"}
    batch = [
        waiting | {"timestamp": rfc3339(sent_us - 60_000_000)},
        {"type": "track", "event": "Product Viewed", "userId": "ada"},
        {"type": "track", "userId": "ada", "messageId": "wrong"},
    ]
    before_us = now_us()
    await shop.post("/v1/batch", {"batch": batch, "sentAt": rfc3339(sent_us), "context": {"locale": "de"}})
    after_us = now_us()
    at = {"e": "pv", "duid": "d", "dtm": "1795465653000"}
    await shop.post(
        "/com.snowplowanalytics.snowplow/tp2", {"schema": "x", "data": [at | {"eid": "s1"}, at | {"eid": "s2"}]}
    )
    await shop.post(
        "/mp/collect",
        {"client_id": "c", "timestamp_micros": 1795465653000000, "events": [{"name": "login"}, {"name": "login"}]},
        measurement_id="G-1",
    )
    await shop.post("/v1/page", {"userId": "bob", "messageId": "other source"}, app_key)
    await put_unknown(stack, stack.workspace_id + 1)
    await shop.refuse_all(False)

    async def all_refused() -> bool:
        records = await read_rejected(stack.kafka, stack.rejected)
        return sum(record.message_id != "probe" and b"probe" not in record.payload for record in records) == 9

    await until(all_refused)
    assert await shop.facts() == []
    listed = (await shop.command("rejected", "list", "--json", "-n", "50")).json
    counts = {(count["stage"], count["code"], count["source"]): count["events"] for count in listed["counts"]}
    assert counts[("ingest", "before_horizon", "app")] == 1
    assert counts[("stager", "unknown_workspace", "web")] == 1
    assert counts[("ingest", "missing_field", "web")] == 1
    planned = await shop.replay("--dry-run")
    assert "1 web ingest missing_field" in planned.err
    assert "1 left out, of the source app: give --key of it" in planned.err

    first = await shop.replay_as_an_operator()
    assert first.status == 1, first.err
    assert "1 missing_field: a track call has to name its event" in first.err
    assert "1 unknown_workspace: there is no workspace" in first.err

    async def staged() -> list[Any]:
        facts = await shop.facts()
        return facts if len(facts) == 6 else []

    facts = {fact["message_id"]: fact for fact in await until(staged)}
    assert {"skewed", "s1", "s2"} <= facts.keys()
    assert before_us - 60_000_000 <= facts["skewed"]["occurred_us"] <= after_us - 60_000_000
    assert json.loads(facts["skewed"]["rest"])["context"] == {"locale": "de"}
    assert facts["s1"]["occurred_us"] == 1_795_465_653_000_000
    names = sorted(fact["name"] for fact in facts.values())
    assert names == ["", "", "Product Viewed", "Product Viewed", "login", "login"]
    (timeless,) = [fact for key, fact in facts.items() if fact["name"] == "Product Viewed" and key != "skewed"]
    assert before_us <= timeless["occurred_us"] <= after_us

    await shop.command("workspace", "create", "later")
    second = await shop.replay()
    assert second.status == 0, second.err
    assert "1 events to send again" in second.err
    assert "1 taken, 0 refused again" in second.err
    assert (await shop.replay("--source", "app", key=app_key)).status == 0

    async def all_staged() -> bool:
        return len(await shop.facts()) == 8

    await until(all_staged)
    third = await shop.replay()
    assert third.status == 0
    assert "0 events to send again" in third.err
    assert (await shop.replay("--again")).status == 1
    assert len(await shop.facts()) == 8

    (wrong,) = (await shop.command("rejected", "list", "--code", "missing_field", "--json")).json["items"]
    assert (wrong["sent_again"], wrong["request"]) == ("missing_field", "POST /v1/batch")
    shown = await shop.command("rejected", "show", wrong["id"])
    assert "a track call has to name its event" in shown.out
    assert '"messageId": "wrong"' in shown.out
    file = tmp_path / "mend.jsonl"
    assert (await shop.command("rejected", "export", str(file))).status == 0
    (line,) = map(json.loads, file.read_text().splitlines())
    assert (line["code"], line["path"], line["event"]) == ("missing_field", "/v1/batch", batch[2])
    again = [record for record in await read_rejected(stack.kafka, stack.rejected) if record.replay_of]
    assert {record.replay_of for record in again} == {f"{stack.rejected}/{wrong['id']}"}


async def test_what_is_asked_wrongly_is_said(stack: Stack) -> None:
    command = Throughline(stack.database)
    command.environment |= {"KAFKA": stack.kafka, "REJECTED_TOPIC": stack.rejected}
    for words, status, message in [
        (("list", "--since", "yesterday"), 2, "--since: 'yesterday' is neither a span"),
        (("list", "--source", "wob"), 2, "no source 'wob'; there are: web"),
        (("show", "12"), 2, "'12' is no PARTITION/OFFSET"),
        (("show", "0/12"), 1, "holds no refused event 0/12"),
        (("replay",), 0, "nothing was refused that these options name"),
    ]:
        result = await command("rejected", *words)
        assert (result.status, message in result.err) == (status, True), result.err
    command.environment["REJECTED_TOPIC"] = "absent.rejected"
    result = await command("rejected", "list")
    assert (result.status, "nothing was refused" in result.err) == (1, True), result.err
