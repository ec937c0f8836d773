"""SDK -> ingest -> Kafka -> two stagers -> PostgreSQL -> api, as a user runs them, and with some of them killed."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import psutil
from segment.analytics import Client

from tests.reference import Replayed, replay
from tests.strategies.touchpoints import NAMES
from tests.support.stack import Service, Stack, until
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us, to_us
from throughline.local import LocalKafka, LocalPostgres
from throughline.models import load_model

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
PHASES = ["", *(phase.name for phase in load_model("seven_phase").phases)]


def shop_events(count: int, *, customers: int, seed: int) -> list[dict[str, Any]]:
    """Arguments of `Client.track` calls, shuffled, a tenth of them twice."""
    dice = random.Random(seed)
    events = [
        {
            "user_id": f"c{dice.randrange(customers)}",
            "event": dice.choice(NAMES),
            "timestamp": START + timedelta(seconds=number),
            "message_id": f"m{number:05}",
            "properties": {"order_id": dice.choice(["o1", "o2"]), "acquisition_channel": "email"},
        }
        for number in range(count)
    ]
    events += dice.sample(events, count // 10)
    dice.shuffle(events)
    return events


def send(ingest: Service, key: str, events: list[dict[str, Any]]) -> list[Exception]:
    """Send events with the unmodified client, which retries. Returns the errors after which it gave up."""
    failures: list[Exception] = []
    client = Client(
        key,
        host=ingest.url,
        max_queue_size=len(events) + 1,
        upload_size=50,
        max_retries=60,
        on_error=lambda error, _: failures.append(error),
    )
    for event in events:
        client.track(**event)
    client.shutdown()
    return failures


def replayed(events: list[dict[str, Any]]) -> Replayed:
    """The state that the reference derives from the events, as of now."""
    log = [
        Touchpoint(
            to_us(event["timestamp"]),
            0,
            event["message_id"],
            event["user_id"],
            "track",
            event["event"],
            user_id=event["user_id"],
            order_id=event["properties"]["order_id"],
        )
        for event in events
    ]
    return replay(log, "seven_phase", now_us())


async def counts_of(client: httpx.AsyncClient) -> dict[str, Any]:
    answer = await client.get("/v1/phases/counts")
    assert answer.status_code == 200, answer.text
    counts: dict[str, Any] = answer.json()
    return counts


async def expect_counts(stack: Stack, api: Service, events: list[dict[str, Any]], *, seconds: float = 90) -> None:
    """Wait until the api answers the counts of a replay, and check that each event is stored once."""
    expected_state = replayed(events)
    sums: dict[str, Counter[int]] = {"active": Counter(), "lapsed": Counter(), "entered": Counter(), "left": Counter()}
    for (_, _, phase), counts in expected_state.counts.items():
        for name, counter in sums.items():
            counter[phase] += getattr(counts, name)
    expected = [(name, *(sums[of][n] for of in sums)) for n, name in enumerate(PHASES) if n]
    async with stack.api(api) as client:
        seen: list[Any] = []

        async def matches() -> bool:
            counts = await counts_of(client)
            seen[:] = [tuple(p[name] for name in ("phase", *sums)) for p in counts["phases"]]
            return seen == expected and counts["unplaced"] == sums["active"][0]

        await until(
            matches, seconds=seconds, what=lambda: f"the counts\n{expected}\nbut they are\n{seen}\n{logs_of(stack)}"
        )
        for phase in (await counts_of(client))["phases"]:
            assert phase["entered"] == phase["now"] + phase["left"]
            assert phase["now"] == phase["active"] + phase["lapsed"]
    connection = await asyncpg.connect(stack.database)
    try:
        facts = await connection.fetchval("select count(*) from touchpoints")
        recount = await connection.fetch("select phase, count(*) as customers from journeys group by phase")
    finally:
        await connection.close()
    assert facts == len({(event["user_id"], event["message_id"]) for event in events})
    assert {row["phase"]: row["customers"] for row in recount} == Counter(
        customer.state.phase for customer in expected_state.customers.values()
    )


def logs_of(stack: Stack) -> str:
    return "\n".join(f"--- {service.name}\n{service.child.tail(15)}" for service in stack.services)


async def test_from_the_sdk_to_the_counts(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    await stack.start("stager")
    await stack.start("stager")
    api = await stack.start("api")
    events = shop_events(2_000, customers=80, seed=3)
    assert await asyncio.to_thread(send, ingest, stack.write_key, events) == []
    await expect_counts(stack, api, events)

    customer = events[0]["user_id"]
    mine = {event["message_id"]: event for event in events if event["user_id"] == customer}
    async with stack.api(api) as client:
        journey = (await client.get(f"/v1/customers/{customer}/journey", params={"limit": 200})).json()
        assert journey["customer"] == customer
        state, moves = replayed(events).customers[customer][1:]
        assert journey["phase"] == PHASES[state.phase]
        assert len(journey["transitions"]["items"]) == len(moves)
        assert {item["message_id"] for item in journey["touchpoints"]["items"]} == set(mine)
        listed = (await client.get("/v1/customers", params={"phase": PHASES[state.phase], "limit": 200})).json()
        assert customer in {item["customer"] for item in listed["items"]}

        # A browser's event that shows where its visitor came from.
        seen = {"context": {"page": {"url": "https://shop.example/?gclid=abc"}, "userAgentData": {"mobile": True}}}
        async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, "")) as browser:
            sent = await browser.post("/v1/page", json={"anonymousId": "visitor", "messageId": "landed"} | seen)
            assert sent.json()["accepted"] == 1

        async def landed() -> Any:
            answer = await client.get("/v1/customers/visitor/journey")
            return answer.status_code == 200 and answer.json()["touchpoints"]["items"]

        (touchpoint,) = await until(landed, what="the visitor")
        assert (touchpoint["channel"], touchpoint["attribution"]) == (
            "paid_search",
            {"source": "google", "medium": "cpc", "click_ids": {"gclid": "abc"}, "device": {"type": "mobile"}},
        )


async def test_kill_9_of_anything_loses_and_repeats_nothing(
    stack: Stack, kafka: LocalKafka, postgres: LocalPostgres
) -> None:
    ingest = await stack.start("ingest", WORKERS="2")
    await stack.start("stager", BATCH_RECORDS="200")
    victim = await stack.start("stager", BATCH_RECORDS="200")
    api = await stack.start("api")
    events = shop_events(8_000, customers=250, seed=4)
    sending = asyncio.create_task(asyncio.to_thread(send, ingest, stack.write_key, events))

    async def some_staged() -> bool:
        connection = await asyncpg.connect(stack.database)
        try:
            return bool(await connection.fetchval("select sum(next_offset) > 500 from offsets"))
        finally:
            await connection.close()

    await until(some_staged, what=lambda: f"the first events to be staged\n{logs_of(stack)}")
    await victim.child.kill()
    workers = psutil.Process(ingest.child.pid).children(recursive=True)
    serving = max(workers, key=lambda process: process.memory_info().rss)
    serving.kill()
    await kafka.kill()
    await kafka.start()
    await postgres.kill()
    await postgres.start()
    await stack.start("stager", BATCH_RECORDS="200")
    assert await sending == []
    await expect_counts(stack, api, events)
    await ingest.ready()
