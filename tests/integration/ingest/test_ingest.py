"""The ingest service as a process, on real Kafka and PostgreSQL: delivery, answers, keys."""

import asyncio
import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from segment.analytics.client import Client

from services.ingest.dialects import segment
from services.ingest.dialects.registry import ROUTES
from services.ingest.event.event import CALLS
from tests.support.events import event
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_rejected, read_touchpoints
from throughline.kit.clock import now_us
from throughline.store.access.sources import set_source_enabled
from throughline.store.access.write_keys import create_write_key, revoke_write_key
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

SEGMENT_CALLS = {
    **{f"/v1/{name}": call for call in CALLS for name in (call, call[0])},
    **dict.fromkeys(("/v1/batch", "/v1/import", "/v1/b"), "batch"),
    "/v1/m": "metrics",
}
"""Path -> call."""
EVENT = {"event": "Order Completed", "userId": "u", "properties": {"order_id": "A-1", "total": 5}}


@pytest.fixture
async def ingest(stack: Stack) -> Service:
    return await stack.start("ingest")


@pytest.fixture
async def client(ingest: Service, stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=ingest.url, auth=(stack.write_key, ""), timeout=30) as client:
        yield client


async def test_the_unmodified_python_library_delivers(stack: Stack, ingest: Service) -> None:
    def send() -> None:
        for packed in (False, True):
            client = Client(stack.write_key, host=ingest.url, gzip=packed, on_error=errors.append)
            for number in range(150):
                client.track(
                    f"user-{number}", "Product Viewed", {"product_id": number}, message_id=f"{packed}-{number}"
                )
            client.identify("user-1", {"plan": "gold"}, anonymous_id="anon-1")
            client.alias("anon-2", "user-2")
            client.flush()
            client.shutdown()

    errors: list[Any] = []
    await asyncio.to_thread(send)
    assert not errors
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert len(touchpoints) == 304
    assert {touchpoint.message_id for touchpoint in touchpoints} >= {f"{packed}-7" for packed in (False, True)}
    assert {
        (touchpoint.previous_id, touchpoint.user_id) for touchpoint in touchpoints if touchpoint.call == "alias"
    } == {("anon-2", "user-2")}
    assert all(touchpoint.warnings == () for touchpoint in touchpoints)


async def test_every_path_takes_its_call(client: httpx.AsyncClient, stack: Stack) -> None:
    assert set(SEGMENT_CALLS) == {route.path for route in segment.SPEC.routes if route.documented}
    for path, call in SEGMENT_CALLS.items():
        body: dict[str, Any] = {**EVENT, "messageId": path, "previousId": "p"}
        if call == "batch":
            body = {"batch": [{**body, "type": "track"}]}
        for prefix, suffix in (("/v1", ""), ("/v1", "/"), ("", "")):
            answer = await client.post(path.replace("/v1", prefix) + suffix, json=body)
            assert answer.status_code == 200, (path, answer.text)
            assert answer.json()["success"] is True
    calls_by_id = {
        touchpoint.message_id: touchpoint.call for touchpoint in await read_touchpoints(stack.kafka, stack.touchpoints)
    }
    calls = {path: "track" if call == "batch" else call for path, call in SEGMENT_CALLS.items() if call != "metrics"}
    assert calls_by_id == calls


async def test_ways_to_send_a_body_and_a_key(ingest: Service, stack: Stack) -> None:
    key = stack.write_key
    body = json.dumps(EVENT).encode()
    keyed = json.dumps({**EVENT, "writeKey": key}).encode()
    coded = json.dumps({**EVENT, "writeKey": base64.b64encode(f"{key}:".encode()).decode()}).encode()
    basic = {"Authorization": "Basic " + base64.b64encode(f"{key}:".encode()).decode()}
    ways: list[tuple[bytes, dict[str, str]]] = [
        (body, basic),
        (body, {"Authorization": f"Bearer {key}"}),
        (body, {**basic, "Content-Type": "text/plain"}),
        (keyed, {"Content-Type": "application/x-www-form-urlencoded"}),
        (coded, {}),
        (gzip.compress(body), {**basic, "Content-Encoding": "gzip"}),
        (gzip.compress(keyed), {"Content-Type": "text/plain"}),
        (body, {**basic, "Content-Encoding": "gzip"}),  # says gzip, is not
    ]
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        for content, headers in ways:
            answer = await client.post("/v1/track", content=content, headers=headers)
            assert answer.status_code == 200, (headers, answer.text)
    assert len(await read_touchpoints(stack.kafka, stack.touchpoints)) == len(ways)


async def test_verdicts_in_order_and_refused_events_whole(client: httpx.AsyncClient, stack: Stack) -> None:
    refused = event(2, event=None, properties={"kept": "as it was"})
    events = [event(1), refused, event(3, userId="null", anonymousId="a"), "no event", event(4)]
    answer = (await client.post("/v1/batch", json={"batch": events})).json()
    assert (answer["accepted"], answer["rejected"]) == (3, 2)
    assert [verdict["verdict"] for verdict in answer["verdicts"]] == ["ok", "rejected", "warning", "rejected", "ok"]
    assert answer["verdicts"][1] == {
        "verdict": "rejected",
        "code": "missing_field",
        "field": "event",
        "message": "a track call has to name its event",
    }
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert sorted(touchpoint.actor for touchpoint in touchpoints) == ["a", "user-1", "user-4"]
    rejected = await read_rejected(stack.kafka, stack.rejected)
    by_code = {record.code: record for record in rejected}
    assert len(rejected) == 2
    assert json.loads(by_code["missing_field"].payload) == refused
    assert by_code["missing_field"].workspace == stack.workspace_id
    assert by_code["missing_field"].stage == "ingest"
    assert json.loads(by_code["wrong_type"].payload) == "no event"


async def test_bodies_nobody_can_take(client: httpx.AsyncClient) -> None:
    for content, code in (
        (b"{", "unreadable_json"),
        (b"", "unreadable_json"),
        (b"x" * 600_000, "body_too_large"),
        (b"x" * 3_000_000, "body_too_large"),
        (gzip.compress(bytes(50_000_000)), "body_too_large"),
        (b"\x1f\x8bnot gzip", "unreadable_gzip"),
        (json.dumps({"batch": [{}] * 2_501}).encode(), "too_many_events"),
    ):
        answer = await client.post("/v1/batch", content=content)
        assert (answer.status_code, answer.json()["code"]) == (400, code)
        assert answer.json()["message"]
        assert answer.headers["content-type"] == "application/problem+json"
        assert (await client.post("/v1/batch", json={"batch": [event(1)]})).status_code == 200


async def test_the_largest_batch(client: httpx.AsyncClient, stack: Stack) -> None:
    answer = await client.post("/v1/batch", json={"batch": [event(number) for number in range(2_500)]})
    assert answer.status_code == 200
    assert answer.json()["accepted"] == 2_500
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert sorted(touchpoint.message_id for touchpoint in touchpoints) == sorted(
        f"message-{number}" for number in range(2_500)
    )
    large = [event(number, properties={"text": "x" * 31_000}) for number in range(16)]
    assert (await client.post("/v1/batch", json={"batch": large})).json()["accepted"] == 16
    too_large = [event(number, properties={"text": "x" * 33_000}) for number in range(15)]
    assert (await client.post("/v1/batch", json={"batch": too_large})).json()["rejected"] == 15
    assert len(await read_rejected(stack.kafka, stack.rejected)) == 15


async def test_browsers_are_allowed_and_methods_are_not(client: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://shop.example"}
    preflight_headers = {
        **origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "anonymousid, sentat",
    }
    preflight = await client.options("/v1/t", headers=preflight_headers)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-headers"] == "anonymousid, sentat"
    assert int(preflight.headers["access-control-max-age"]) > 0
    for answer in (
        preflight,
        await client.post("/v1/t", json=EVENT, headers=origin),
        await client.post("/v1/t", content=b"{", headers=origin),
        await client.get("/v1/projects/nope/settings", headers=origin),
    ):
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        assert answer.headers["access-control-allow-credentials"] == "true"
        assert answer.headers["vary"] == "Origin"
    assert "access-control-allow-origin" not in (await client.post("/v1/t", json=EVENT)).headers
    for method in ("GET", "HEAD", "PUT", "DELETE"):
        refused = await client.request(method, "/v1/t")
        assert (refused.status_code, refused.headers["allow"]) == (405, "POST, OPTIONS")
    assert (await client.get("/v1/t")).json()["code"] == "method_not_allowed"
    assert (await client.post("/v1/nothing")).json()["code"] == "not_found"


async def test_settings_and_documents(client: httpx.AsyncClient, stack: Stack) -> None:
    for prefix in ("/v1/projects", "/projects"):
        answer = await client.get(f"{prefix}/{stack.write_key}/settings")
        assert answer.json() == {
            "integrations": {"Segment.io": {"apiKey": stack.write_key}},
            "plan": {},
            "analyticsNextEnabled": True,
        }
        unknown = await client.get(f"{prefix}/tlw_nope/settings")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_write_key")
    paths = (await client.get("/openapi.json")).json()["paths"]
    assert {route.path for route in ROUTES if route.documented} <= set(paths)
    assert "/v1/projects/{key}/settings" in paths
    assert (await client.get("/docs")).status_code == 200


async def test_keys_take_effect_within_seconds(client: httpx.AsyncClient, stack: Stack) -> None:
    engine = create_engine(stack.database)

    async def status(key: str) -> int:
        return (await client.post("/v1/track", json=EVENT, auth=(key, ""))).status_code

    async def answers(key: str, expected: int) -> None:
        async def answered() -> bool:
            return await status(key) == expected

        await until(answered, what=f"a {expected}")

    try:
        assert await status(stack.write_key) == 200
        assert await status("tlw_unknown") == 401
        async with transaction(engine) as connection:
            key = await create_write_key(connection, stack.workspace, "web", now_us=now_us())
        await answers(key, 200)
        async with transaction(engine) as connection:
            await revoke_write_key(connection, key, now_us=now_us())
        await answers(key, 401)
        async with transaction(engine) as connection:
            await set_source_enabled(connection, stack.workspace, "web", False)
        await answers(stack.write_key, 404)
        async with transaction(engine) as connection:
            await set_source_enabled(connection, stack.workspace, "web", True)
        await answers(stack.write_key, 200)
    finally:
        await engine.dispose()


async def test_what_is_counted(client: httpx.AsyncClient, ingest: Service) -> None:
    events = [event(1), event(2, event=None), event(3, userId="null", anonymousId="a")]
    await client.post("/v1/batch", json={"batch": events})
    await client.post("/v1/batch", content=b"{")

    async def counted() -> bool:
        metrics = await ingest.metrics()
        events = [metrics.get(f'throughline_ingest_events_total{{outcome="{outcome}"}}') for outcome in OUTCOMES]
        requests = [metrics.get(f'throughline_ingest_requests_total{{status="{status}"}}') for status in (200, 400)]
        reasons = {name for name in metrics if name.startswith("throughline_ingest_verdicts_total")}
        return (
            events == [1, 1, 1]
            and reasons == REASONS
            and requests == [1, 1]
            and metrics["throughline_ingest_request_seconds_count"] == 2
            and metrics["throughline_ingest_produce_records_sum"] == 3
            and metrics["throughline_ingest_queue_events"] == 0
            and metrics["throughline_ingest_keys_age_seconds"] < 5
            and not any("stager" in name for name in metrics)
        )

    await until(counted)


OUTCOMES = ("ok", "warning", "rejected")
REASONS = {
    f'throughline_ingest_verdicts_total{{outcome="{outcome}",reason="{reason}"}}'
    for outcome, reason in (("warning", "illegal_id"), ("rejected", "missing_field"))
}
