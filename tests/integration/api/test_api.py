"""The api as a process on a real database: what it answers."""

import asyncio
import json

import httpx

from services.api import schemas
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, PHASES, SECOND_US, Rows
from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import revoke_read_token
from throughline.store.access.sources import create_source
from throughline.store.access.workspaces import create_workspace
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


async def test_the_model(api: httpx.AsyncClient) -> None:
    body = await ok(api, "/v1/phases", schemas.Phases)
    assert body["model"] == "seven_phase"
    assert [(phase["number"], phase["name"]) for phase in body["phases"]] == list(enumerate(PHASES, start=1))
    assert body["phases"][2]["window_seconds"] == 7 * 86400
    assert "order" in body["phases"][3]["touchpoints"]
    assert "cart_added" in body["phases"][2]["touchpoints"]


async def test_counts_of_an_empty_workspace(api: httpx.AsyncClient) -> None:
    body = await ok(api, "/v1/phases/counts", schemas.Counts)
    assert (body["as_of"], body["customers"], body["unplaced"]) == (None, 0, 0)
    assert [phase["phase"] for phase in body["phases"]] == list(PHASES)
    assert (body["settled_until"], body["history_from"]) == (None, None)


async def test_counts_are_summed_over_shards_and_as_of_is_the_least_partition(
    api: httpx.AsyncClient, rows: Rows
) -> None:
    await rows.through(AT_US + 5, partition=0)
    await rows.through(AT_US, partition=1)
    await rows.through(AT_US - 9, topic="another topic")
    await rows.count(0, 4, entered=0)
    await rows.count(1, 10, lapsed=2, churned=1, left=3, returned=3, shard=0)
    await rows.count(1, -1, left=1, shard=1)
    await rows.count(2, 7, shard=3)
    body = await ok(api, "/v1/phases/counts", schemas.Counts)
    assert body["as_of"] == "2026-09-21T14:13:20Z"
    assert (body["customers"], body["unplaced"]) == (18, 4)
    assert body["phases"][0] == {
        "phase": "discovery", "now": 11, "active": 9, "lapsed": 2, "abandoned": 1, "churned": 1, "entered": 15,
        "left": 4, "returned": 3,
    }  # fmt: skip
    for phase in body["phases"]:
        assert phase["now"] == phase["active"] + phase["lapsed"] == phase["entered"] - phase["left"]


async def test_counts_by_source_and_channel(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        pos = await create_source(connection, stack.workspace, "pos", now_us=now_us())
    await engine.dispose()
    await rows.count(1, 10, channel="email")
    await rows.count(1, 5, channel="direct")
    await rows.count(2, 3, source=pos, channel="email")

    async def customers(**which: str) -> int:
        return int((await ok(api, "/v1/phases/counts", schemas.Counts, **which))["customers"])

    assert await customers() == 18
    assert await customers(source="web") == 15
    assert await customers(source="pos") == 3
    assert await customers(channel="email") == 13
    assert await customers(source="web", channel="email") == 10
    assert await customers(channel="fax") == 0
    assert [s["name"] for s in (await ok(api, "/v1/sources", schemas.Sources))["sources"]] == ["pos", "web"]
    assert (await ok(api, "/v1/channels", schemas.Channels))["channels"] == ["direct", "email"]
    problem = await refused(api, 400, "unknown_source", "/v1/phases/counts", source="shop")
    assert problem["field"] == "source"
    assert "pos, web" in problem["message"]
    assert (await refused(api, 400, "unknown_parameter", "/v1/phases/counts", chanel="x"))["field"] == "chanel"
    assert (await refused(api, 400, "invalid_parameter", "/v1/phases/counts", channel="\0"))["field"] == "channel"


async def test_an_etag_names_the_last_change(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US)
    await rows.count(1, 1)
    first = await api.get("/v1/phases/counts")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    await rows.through(AT_US + SECOND_US)

    async def moved_on() -> bool:
        again = await api.get("/v1/phases/counts")
        assert again.headers["etag"] == etag
        return bool(again.json()["as_of"] != first.json()["as_of"])

    await until(moved_on)
    same = await api.get("/v1/phases/counts", headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    await rows.count(1, 1)

    async def changed() -> bool:
        return (await api.get("/v1/phases/counts", headers={"If-None-Match": etag})).status_code == 200

    await until(changed)


async def test_many_clients_cost_few_questions(api: httpx.AsyncClient, service: Service) -> None:
    name = 'throughline_api_query_seconds_count{query="counts"}'
    await asyncio.gather(*(ok(api, "/v1/phases/counts") for _ in range(200)))
    started = asyncio.get_running_loop().time()
    before = (await service.metrics())[name]
    for _ in range(5):
        await asyncio.gather(*(ok(api, "/v1/phases/counts") for _ in range(100)))
    took = asyncio.get_running_loop().time() - started
    assert (await service.metrics())[name] - before <= took / 0.25 + 1


async def test_a_journey(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 500 * SECOND_US)
    await rows.customer("user-1", [(0, 1), (100, 4)], touchpoints=3)
    await rows.touchpoint(
        "user-1",
        "order",
        AT_US + 100 * SECOND_US,
        name="Order Completed",
        order_id="1042",
        value=59.9,
        currency="EUR",
        rest='{"properties":{"coupon":"SPRING","coupon":1e999},"context":{"ip":null}}',
    )
    response = await api.get("/v1/customers/user-1/journey")
    body = response.json()
    schemas.Journey.model_validate(body)
    assert {name: body[name] for name in ("customer", "phase", "entered_at", "highest_phase", "as_of")} == {
        "customer": "user-1",
        "phase": "purchase",
        "entered_at": "2026-09-21T14:15:00Z",
        "highest_phase": "purchase",
        "as_of": "2026-09-21T14:21:40Z",
    }
    assert body["phases"] == [
        {
            "phase": "discovery",
            "cycle": 1,
            "entered_at": "2026-09-21T14:13:20Z",
            "lapsed_at": None,
            "left_at": "2026-09-21T14:15:00Z",
            "seconds": 100.0,
        },
        {
            "phase": "purchase",
            "cycle": 1,
            "entered_at": "2026-09-21T14:15:00Z",
            "lapsed_at": None,
            "left_at": None,
            "seconds": 400.0,
        },
    ]
    assert body["transitions"][0]["from"] is None
    assert [(move["from"], move["to"], move["cycle"]) for move in body["transitions"]] == [
        (None, "discovery", 1),
        ("discovery", "purchase", 1),
    ]
    newest = body["touchpoints"]["items"][0]
    assert (newest["message_id"], newest["source"], newest["order_id"], newest["value"]) == (
        "order", "web", "1042", 59.9
    )  # fmt: skip
    assert newest["received_at"] == "2026-09-21T14:15:00.000001Z"
    assert '"properties":{"coupon":"SPRING","coupon":1e999}' in response.text
    assert newest["rest"] == {"context": {"ip": None}}
    assert body["touchpoints"]["next_cursor"] is None


async def test_touchpoints_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)])
    # Several at one instant: their order is that of the message ids, as bytes.
    expected = []
    for number in range(30):
        message_id = f"{'aBé'[number % 3]}{number:02}"
        await rows.touchpoint("user-1", message_id, AT_US + number // 10)
        expected.append((AT_US + number // 10, message_id.encode()))
    found: list[str] = []
    cursor = None
    while True:
        page = {"limit": 7} if cursor is None else {"limit": 7, "cursor": cursor}
        touchpoints = (await ok(api, "/v1/journey", schemas.Journey, customer="user-1", **page))["touchpoints"]
        assert len(touchpoints["items"]) <= 7
        found += [item["message_id"] for item in touchpoints["items"]]
        cursor = touchpoints["next_cursor"]
        if cursor is None:
            break
    assert found == [message_id.decode() for _, message_id in sorted(expected, reverse=True)]
    for limit in ("0", "201", "x"):
        problem = await refused(api, 400, "invalid_parameter", "/v1/journey", customer="user-1", limit=limit)
        assert problem["field"] == "limit"
    for bad in ("x", "WyJ0IixbMV1d", "é", ""):
        await refused(api, 400, "bad_cursor", "/v1/journey", customer="user-1", cursor=bad)


async def test_any_id(api: httpx.AsyncClient, rows: Rows) -> None:
    hostile = ["a/b", "a/../b", "ü 😀", "100%", "%2F", "?&#=+", "<img src=x>", " ", ".", "a\nb", "/journey", "x" * 2000]
    for customer in hostile:
        await rows.customer(customer, [(0, 1)], touchpoints=1)
        assert (await ok(api, "/v1/journey", schemas.Journey, customer=customer))["customer"] == customer


async def test_ids_in_a_path(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("a/b ü%", [(0, 1)])
    assert (await ok(api, "/v1/customers/a%2Fb%20%C3%BC%25/journey"))["customer"] == "a/b ü%"


async def test_unknown_customers_and_those_of_others_look_the_same(
    api: httpx.AsyncClient, rows: Rows, stack: Stack
) -> None:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        other = await create_workspace(connection, "other", now_us=now_us())
    await engine.dispose()
    async with Rows(stack.database, other, source=1) as theirs:
        theirs.source = rows.source
        await theirs.customer("theirs", [(0, 1)], touchpoints=1)
        await theirs.count(1, 5)
    problems = [
        await refused(api, 404, "unknown_customer", "/v1/journey", customer="theirs"),
        await refused(api, 404, "unknown_customer", "/v1/journey", customer="nobody"),
        await refused(api, 404, "unknown_customer", "/v1/customers/theirs/journey"),
    ]
    assert problems[0] == problems[1] == problems[2]
    assert (await ok(api, "/v1/customers"))["items"] == []
    assert (await ok(api, "/v1/phases/counts"))["customers"] == 0
    assert (await ok(api, "/v1/channels"))["channels"] == []
    assert (await refused(api, 400, "missing_parameter", "/v1/journey"))["field"] == "customer"


async def test_unplaced_customers(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("new", [], touchpoints=2)
    body = await ok(api, "/v1/journey", schemas.Journey, customer="new")
    assert (body["phase"], body["entered_at"], body["highest_phase"]) == (None, None, None)
    assert (body["phases"], body["transitions"], len(body["touchpoints"]["items"])) == ([], [], 2)
    assert (await ok(api, "/v1/customers", schemas.Customers))["items"] == []
    listed = (await ok(api, "/v1/customers", schemas.Customers, phase="unplaced"))["items"]
    assert [(item["customer"], item["phase"]) for item in listed] == [("new", None)]


async def test_customers_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    for number in range(40):
        await rows.customer(f"c{number}", [(0, 1), (number, 1 + number % 3)] if number % 3 else [(0, 1)])

    async def everyone(**which: str) -> list[tuple[str, str]]:
        found: list[tuple[str, str]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await ok(api, "/v1/customers", schemas.Customers, limit=6, **which, **cursor)
            found += [(item["phase"], item["customer"]) for item in page["items"]]
            if page["next_cursor"] is None:
                return found
            assert len(page["items"]) == 6
            cursor = {"cursor": page["next_cursor"]}

    expected = {(PHASES[number % 3], f"c{number}") for number in range(40)}
    found = await everyone()
    assert (len(found), set(found)) == (40, expected)
    for phase in PHASES:
        some = await everyone(phase=phase)
        assert (len(some), set(some)) == (len(set(some)), {one for one in expected if one[0] == phase})
    cursor = (await ok(api, "/v1/customers", phase="discovery", limit=1))["next_cursor"]
    await refused(api, 400, "bad_cursor", "/v1/customers", phase="decision", cursor=cursor)
    problem = await refused(api, 400, "unknown_phase", "/v1/customers", phase="buying")
    assert problem["field"] == "phase"
    assert "purchase, experience, loyalty, advocacy, unplaced" in problem["message"]


async def test_tokens(api: httpx.AsyncClient, stack: Stack) -> None:
    for headers in (
        {},
        {"Authorization": "Basic x"},
        {"Authorization": "Bearer tlr_wrong"},
        {"Authorization": "Bearer"},
    ):
        del api.headers["authorization"]
        for path in ("/v1/phases", "/v1/phases/counts?limit=x", "/v1/phases/counts/stream", "/v1/journey"):
            response = await api.get(path, headers=headers)
            assert response.status_code == 401, path
            assert response.headers["www-authenticate"].startswith("Bearer")
            assert response.json()["code"] in ("missing_token", "unknown_token")
        api.headers["Authorization"] = f"Bearer {stack.read_token}"
    await ok(api, "/v1/phases")
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        await revoke_read_token(connection, stack.read_token, now_us=now_us())
    await engine.dispose()

    async def is_refused() -> bool:
        return (await api.get("/v1/phases")).status_code == 401

    await until(is_refused, seconds=5)


async def test_every_other_error_is_a_problem_too(api: httpx.AsyncClient) -> None:
    assert "openapi.json" in (await refused(api, 404, "not_found", "/v1/nothing"))["message"]
    response = await api.post("/v1/phases")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


async def test_other_origins_may_read_with_a_token_but_get_nothing_else(api: httpx.AsyncClient) -> None:
    origin = {"Origin": "https://dashboard.example"}
    asked = {**origin, "Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}
    preflight = await api.options("/v1/phases/counts", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == "*"
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = await api.get("/v1/phases/counts", headers=origin)
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers
    for path in ("/page-config.json", "/", "/metrics"):
        assert "access-control-allow-origin" not in (await api.get(path, headers=origin)).headers


async def test_the_pages_token_is_for_this_machine_only(stack: Stack) -> None:
    service = await stack.start("api", PAGE_TOKEN=stack.read_token)
    async with httpx.AsyncClient(base_url=service.url) as client:
        assert (await client.get("/page-config.json")).json() == {"token": stack.read_token}
        for headers in ({"Host": "rebound.example"}, {"X-Forwarded-For": "192.0.2.1"}, {"Origin": "http://x.example"}):
            assert (await client.get("/page-config.json", headers=headers)).json() == {"token": None}


async def test_openapi_says_what_is_answered(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    lists = ("models", "phases", "events/recent", "events/unmapped", "sources", "channels", "customers", "rejected")
    views = ("phases/counts", "phases/counts/stream", "phases/history", "customers/{customer}/journey", "journey")
    assert set(document["paths"]) == {f"/v1/{path}" for path in lists + views}
    assert document["components"]["securitySchemes"]["readToken"]["scheme"] == "bearer"
    text = json.dumps(document)
    assert "ValidationError" not in text
    for path, operations in document["paths"].items():
        assert operations["get"]["security"], path
        assert {"200", "401", "503"} <= set(operations["get"]["responses"]), path


async def test_metrics_carry_templates_and_no_ids(api: httpx.AsyncClient, service: Service) -> None:
    await api.get("/v1/customers/somebody/journey")
    await api.get("/invented/path")
    samples = await service.metrics()
    name = "throughline_api_request_seconds_count"
    assert samples[f'{name}{{route="/v1/customers/{{customer:path}}/journey",status="4xx"}}'] == 1
    assert samples[f'{name}{{route="unmatched",status="4xx"}}'] == 1
    assert samples['throughline_api_query_seconds_count{query="journey"}'] == 1
    assert not [sample for sample in samples if "somebody" in sample or "invented" in sample]
