"""Events without consent, through everything: dropped, counted by the hour (by name, if the source says so), gone."""

from typing import Any

import httpx
import pytest

from services.stager.rejected.index import NAMES
from tests.support.command import Throughline
from tests.support.rejected import Reader
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_rejected, read_touchpoints
from throughline.store.access.source_settings import change_settings
from throughline.store.access.sources import create_source
from throughline.store.access.write_keys import create_write_key
from throughline.store.admission import OTHER
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

YES: dict[str, Any] = {"consent": {"categoryPreferences": {"Analytics": True}}}
EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "properties": {"note": "ada's own"}}


async def send(ingest: Service, key: str, *events: dict[str, Any]) -> Any:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{ingest.url}/v1/batch", json={"batch": list(events)}, auth=(key, ""))
    assert answer.status_code == 200, answer.text
    return answer.json()


async def two_sources(stack: Stack) -> str:
    """Have `web` count what it drops by name, and another one, `app`, drop; gives the key of that one."""
    engine = create_engine(stack.database)
    try:
        async with transaction(engine) as connection:
            await create_source(connection, stack.workspace, "app", now_us=1)
            await change_settings(connection, stack.workspace, "app", {"consent": "drop"})
            await change_settings(connection, stack.workspace, "web", {"consent": "aggregate"})
            return await create_write_key(connection, stack.workspace, "app", now_us=1)
    finally:
        await engine.dispose()


@pytest.fixture
def throughline(stack: Stack) -> Throughline:
    command = Throughline(stack.database)
    command.environment |= {
        "KAFKA": stack.kafka,
        "TOUCHPOINTS_TOPIC": stack.touchpoints,
        "REJECTED_TOPIC": stack.rejected,
    }
    return command


async def test_what_has_no_consent_is_counted_and_nothing_else(stack: Stack, throughline: Throughline) -> None:
    key = await two_sources(stack)
    ingest, _, api = [await stack.start(name) for name in ("ingest", "stager", "api")]
    read = Reader(stack, api)

    mixed: list[dict[str, Any]] = [
        EVENT | {"context": YES, "messageId": "taken"},
        EVENT,
        {"type": "page", "anonymousId": "b1c0"},
        {"type": "track"},
    ]
    answer = await send(ingest, stack.write_key, *mixed)
    assert [verdict["verdict"] for verdict in answer["verdicts"]] == ["ok", "dropped", "dropped", "dropped"]
    assert (answer["accepted"], answer["rejected"], answer["dropped"]) == (1, 0, 3)
    assert answer["verdicts"][1]["code"] == "no_consent"
    await send(ingest, key, EVENT, {"type": "identify", "userId": "ada", "anonymousId": "b1c0"}, {"userId": {}})
    flood = [EVENT | {"event": f"random {number}"} for number in range(NAMES + 50)]
    assert (await send(ingest, stack.write_key, *flood))["dropped"] == len(flood)

    await read.wait(3 + 3 + len(flood))
    page = await read()
    counts = {(count["source"], count["stage"], count["code"], count["name"]): count for count in page["counts"]}
    assert counts["web", "consent", "no_consent", "Product Viewed"]["events"] == 1
    assert counts["web", "consent", "no_consent", "page"]["events"] == 1
    assert counts["web", "consent", "no_consent", OTHER]["events"] >= 50
    assert len(counts) <= NAMES + 4
    assert counts["app", "consent", "no_consent", ""]["events"] == 2
    assert counts["app", "ingest", "wrong_type", ""]["events"] == 1
    assert await read.events(source="web", stage="consent") == 3 + len(flood)
    # Of the refused one there is the code; of what was dropped there is no row at all.
    (item,) = page["items"]
    assert (item["code"], item["payload"], item["field"]) == ("wrong_type", "", "")
    assert not page["sampled"]

    (touchpoint,) = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert touchpoint.message_id == "taken"
    for record in await read_rejected(stack.kafka, stack.rejected):
        assert (record.payload, record.field, record.message_id) == (b"", "", "")
        assert (record.name == "") or record.stage == "consent"
    taken = 'throughline_ingest_events_total{outcome="%s"}'

    async def told() -> bool:
        metrics = await ingest.metrics()
        return metrics.get(taken % "dropped") == 5 + len(flood) and metrics.get(taken % "rejected") == 1

    await until(told, what=lambda: "the counts of verdicts")
    shown = (await throughline("tail", "app", "--no-follow")).out.splitlines()
    assert [line.split()[2:] for line in shown if " dropped " in line] == [["dropped", "no_consent"]] * 2
    shown = (await throughline("tail", "web", "--no-follow", "-n", "1000")).out.splitlines()
    assert [line for line in shown if line.endswith("dropped   no_consent Product Viewed")]
