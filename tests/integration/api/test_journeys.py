"""One customer's journey: by any of its ids, with the cause of each move, and its touchpoints in pages."""

import asyncio
import json
import time
from typing import Any

import httpx
import msgspec
from sqlalchemy import text

from services.api.journeys.answers import Journey
from services.api.journeys.queries import TouchpointPosition, TransitionPosition, touchpoints_of
from services.api.journeys.routes import transition_cursors
from tests.support.answers import ok, refused
from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us, rfc3339
from throughline.store.access.workspaces import create_workspace
from throughline.store.digest import id_digest, message_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

DAY_S = 86_400


async def everything(api: httpx.AsyncClient, customer: str, limit: int) -> list[tuple[str, str]]:
    """(message id, user id) of all touchpoints, page by page."""
    messages: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        body = await ok(api, "/v1/journey", Journey, customer=customer, limit=limit, **cursor)
        items = body["touchpoints"]["items"]
        messages += [(item["message_id"], item["user_id"] or item["anonymous_id"]) for item in items]
        if body["touchpoints"]["next_cursor"] is None:
            return messages
        assert len(items) == limit
        cursor = {"cursor": body["touchpoints"]["next_cursor"]}


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
    msgspec.json.decode(response.content, type=Journey)
    assert {name: body[name] for name in ("customer", "phase", "entered_at", "highest_phase", "as_of")} == {
        "customer": "user-1",
        "phase": "purchase",
        "entered_at": "2026-09-21T14:15:00Z",
        "highest_phase": "purchase",
        "as_of": "2026-09-21T14:21:40Z",
    }
    assert body["phases"][::-1] == [
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
    assert [(move["from"], move["to"], move["cycle"]) for move in body["transitions"]["items"]] == [
        ("discovery", "purchase", 1),
        (None, "discovery", 1),
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
    message_ids: list[str] = []
    cursor = None
    while True:
        page = {"limit": 7} if cursor is None else {"limit": 7, "cursor": cursor}
        touchpoints = (await ok(api, "/v1/journey", Journey, customer="user-1", **page))["touchpoints"]
        assert len(touchpoints["items"]) <= 7
        message_ids += [item["message_id"] for item in touchpoints["items"]]
        cursor = touchpoints["next_cursor"]
        if cursor is None:
            break
    assert message_ids == [message_id.decode() for _, message_id in sorted(expected, reverse=True)]
    for limit in ("0", "201", "x"):
        problem = await refused(api, 400, "invalid_parameter", "/v1/journey", customer="user-1", limit=limit)
        assert problem["field"] == "limit"
    for bad in ("x", "WyJ0IixbMV1d", "é", ""):
        for name in ("cursor", "transitions_cursor", "ids_cursor"):
            problem = await refused(api, 400, "bad_cursor", "/v1/journey", customer="user-1", **{name: bad})
            assert problem["field"] == name
    out_of_range = transition_cursors.encode(TransitionPosition(0, 0, "", "", 2**40))
    await refused(api, 400, "bad_cursor", "/v1/journey", customer="user-1", transitions_cursor=out_of_range)


async def test_any_id(api: httpx.AsyncClient, rows: Rows) -> None:
    hostile = ["a/b", "a/../b", "ü 😀", "100%", "%2F", "?&#=+", "<img src=x>", " ", ".", "a\nb", "/journey", "x" * 2000]
    for customer in hostile:
        await rows.customer(customer, [(0, 1)], touchpoints=1)
        assert (await ok(api, "/v1/journey", Journey, customer=customer))["customer"] == customer


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


async def test_any_id_leads_to_its_customer(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)])
    await rows.link("user-1", None)
    await rows.link("old-user", "user-1", at_us=AT_US + 9, by=2, message_id="alias-1")
    await rows.link("anon-1", "old-user", at_us=AT_US + 3, message_id="identify-1")
    await rows.link("anon-2", "user-1", at_us=AT_US + 12, message_id="identify-2")
    await rows.link("stranger", None)
    answers = [await ok(api, "/v1/journey", Journey, customer=id) for id in ("user-1", "old-user", "anon-1", "anon-2")]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["customer"], answers[0]["ids"]["total"]) == ("user-1", 3)
    assert answers[0]["ids"]["items"] == [
        {
            "id": id,
            "owner": owner,
            "since": rfc3339(AT_US + after),
            "message_id": message_id,
            "by": by,
        }
        for id, owner, after, message_id, by in (
            ("anon-1", "old-user", 3, "identify-1", "identify"),
            ("old-user", "user-1", 9, "alias-1", "alias"),
            ("anon-2", "user-1", 12, "identify-2", "identify"),
        )
    ]
    await refused(api, 404, "unknown_customer", "/v1/journey", customer="stranger")


async def test_links_that_close_a_ring_do_not_hang_it(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.link("a", "b")
    await rows.link("b", "a")
    await refused(api, 404, "unknown_customer", "/v1/journey", customer="a")


async def test_touchpoints_of_all_ids_are_one_list_and_a_message_counts_once(
    api: httpx.AsyncClient, rows: Rows
) -> None:
    await rows.customer("user-1", [(0, 1)])
    expected = []
    ids = ["user-1", *(f"anon-{number}" for number in range(70))]
    for id in ids[1:]:
        await rows.link(id, "user-1")
    for number in range(150):
        id = ids[number % len(ids)]
        columns = {} if id == "user-1" else {"user_id": None, "anonymous_id": id}
        # Several at one instant.
        await rows.touchpoint(id, f"m{number:03}", AT_US + number // 4 * SECOND_US, **columns)
        expected.append((AT_US + number // 4 * SECOND_US, f"m{number:03}", id))
    # The same message again: later, at once under a greater id, and as a bot's.
    await rows.touchpoint("anon-5", "m000", AT_US + 7 * SECOND_US, user_id=None, anonymous_id="anon-5")
    await rows.touchpoint("anon-6", "m000", AT_US + 30 * SECOND_US, user_id=None, anonymous_id="anon-6")
    await rows.touchpoint("user-1", "m001", AT_US)
    await rows.touchpoint("anon-0", "m003", AT_US - 9, user_id=None, anonymous_id="anon-0", bot=True)
    expected.append((AT_US - 9, "m003", "anon-0"))
    # Another customer's.
    await rows.touchpoint("user-2", "m004", AT_US)
    in_order = [(message_id, id) for _, message_id, id in sorted(expected, reverse=True)]
    for limit in (1, 7, 200):
        assert await everything(api, "anon-69", limit) == in_order
    bot = (await ok(api, "/v1/journey", customer="user-1", limit=200))["touchpoints"]["items"][-1]
    assert (bot["message_id"], bot["bot"]) == ("m003", True)


async def test_pages_of_a_long_history_are_read_by_the_index(api: httpx.AsyncClient, rows: Rows) -> None:
    """However many touchpoints there are, a page reads about as many rows as it shows."""
    await rows.customer("user-1", [(0, 1)])
    await rows.link("anon-1", "user-1")
    for id in ("user-1", "anon-1"):
        await rows.execute(
            "insert into touchpoints (actor, message, occurred_us, place, received_us, source, channel, call, name,"
            " message_id, user_id, rest, bot, test) select $1, message, $3::bigint + n / 3, 0, 0,"
            " 1, '', 'track', '', $2 || n, $2, '{}', false, false"
            " from unnest($4::bytea[]) with ordinality m(message, n)",
            id_digest(rows.workspace, id),
            id,
            AT_US,
            [message_digest(f"{id}{number}") for number in range(1, 20_001)],
        )
    await rows.execute("analyze touchpoints")
    first = await ok(api, "/v1/journey", Journey, customer="anon-1", limit=50)
    cursor = first["touchpoints"]["next_cursor"]
    second = await ok(api, "/v1/journey", Journey, customer="anon-1", limit=50, cursor=cursor)
    seen = [item["message_id"] for page in (first, second) for item in page["touchpoints"]["items"]]
    assert len(set(seen)) == 100
    expected = sorted((AT_US + n // 3, f"{id}{n}") for id in ("user-1", "anon-1") for n in range(19_900, 20_001))
    assert seen == [message_id for _, message_id in reversed(expected)][:100]
    engine = create_engine(rows.url)
    async with transaction(engine) as connection:
        actors = {id_digest(rows.workspace, id): id for id in ("user-1", "anon-1")}
        page = await touchpoints_of(connection, actors, TouchpointPosition(AT_US + 3000, 0, "x", b""), 50)
        read = await connection.scalar(
            text(
                "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables "
                "where relname like 'touchpoints%'"
            )
        )
    await engine.dispose()
    assert len(page.rows) == 50
    assert read < 300


async def test_lapses_cycles_and_the_cause_of_each_move(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 60 * DAY_S * SECOND_US)
    moves = [(0, 1), (100, 4), (20 * DAY_S, CHURN), (30 * DAY_S, 2), (40 * DAY_S, ABANDON), (50 * DAY_S, 2)]
    await rows.customer("user-1", moves)
    body = await ok(api, "/v1/journey", Journey, customer="user-1")
    transitions = body["transitions"]["items"][::-1]
    assert (body["phase"], body["highest_phase"], body["cycle"]) == ("consideration", "purchase", 3)
    assert body["activity"] == {
        "state": "active",
        "since": rfc3339(AT_US + 50 * DAY_S * SECOND_US),
        "lapse": None,
        "recovered": True,
        "lapses_at": rfc3339(AT_US + 80 * DAY_S * SECOND_US),
    }
    assert [(t["kind"], t["from"], t["to"], t["skipped"], t["cycle"]) for t in transitions] == [
        ("enter", None, "discovery", [], 1),
        ("enter", "discovery", "purchase", ["consideration", "decision"], 1),
        ("lapse", "purchase", "purchase", [], 1),
        ("return", "purchase", "consideration", ["discovery"], 2),
        ("lapse", "consideration", "consideration", [], 2),
        ("return", "consideration", "consideration", ["discovery"], 3),
    ]
    assert transitions[1] | {"at": "", "from": ""} == {
        "at": "",
        "kind": "enter",
        "from": "",
        "to": "purchase",
        "skipped": ["consideration", "decision"],
        "cycle": 1,
        "message_id": "m1",
        "actor": "user-1",
        "name": "Product Viewed",
        "rule": "product_viewed",
    }
    lapse = transitions[2]
    assert (lapse["message_id"], lapse["actor"], lapse["name"], lapse["rule"]) == (None, None, None, "churned")
    assert body["why"] == transitions[5]
    assert [(c["cycle"], c["lapse"], c["phases"]) for c in body["cycles"][::-1]] == [
        (1, "churned", ["discovery", "purchase"]),
        (2, "abandoned", ["consideration"]),
        (3, None, ["consideration"]),
    ]
    assert body["cycles"][2]["started_at"] == rfc3339(AT_US)
    assert body["cycles"][2]["lapsed_at"] == lapse["at"]
    assert body["cycles"][1]["started_at"] == rfc3339(AT_US + 30 * DAY_S * SECOND_US)
    assert [(s["phase"], s["cycle"], s["lapsed_at"] is not None) for s in body["phases"][::-1]] == [
        ("discovery", 1, False),
        ("purchase", 1, True),
        ("consideration", 2, True),
        ("consideration", 3, False),
    ]


async def test_a_long_journey_comes_in_pages_and_holds_up_nobody(
    api: httpx.AsyncClient, rows: Rows, service: Service
) -> None:
    """20,001 transitions: no answer is large, and the service goes on answering others meanwhile."""
    await rows.customer("user-1", [(0, 1)])
    digest = id_digest(rows.workspace, "user-1")
    await rows.execute(
        "insert into transitions (customer, model, at_us, place, message_id, actor, kind, from_phase, to_phase, cycle,"
        " name, rule) select $1, $2, $3::bigint + n::bigint * 1000000, 0,"
        " case when n % 2 = 0 then 'm' || n else '' end,"
        " case when n % 2 = 0 then 'user-1' else '' end, case when n % 2 = 0 then 2 else 3 end, 1, 1, 1 + n / 2,"
        " 'Product Viewed', case when n % 2 = 0 then 'product_viewed' else 'abandoned' end"
        " from generate_series(1, 20000) n",
        digest,
        rows.model,
        AT_US,
    )
    await rows.execute("update journeys set cycle = 10001 where customer = $1", digest)
    waits: list[float] = []

    async def watch() -> None:
        while True:
            started = time.perf_counter()
            assert (await api.get("/healthz")).status_code == 200
            waits.append(time.perf_counter() - started)
            await asyncio.sleep(0.01)

    watching = asyncio.create_task(watch())
    cursor: dict[str, str] = {}
    transitions: list[Any] = []
    cycles: list[int] = []
    stays: list[tuple[int, float, bool]] = []
    while True:
        response = await api.get("/v1/journey", params={"customer": "user-1", "limit": 200, **cursor})
        assert len(response.content) < 200_000
        body = response.json()
        transitions += body["transitions"]["items"]
        cycles += [cycle["cycle"] for cycle in body["cycles"]]
        stays += [(stay["cycle"], stay["seconds"], stay["lapsed_at"] is not None) for stay in body["phases"]]
        assert (body["activity"]["since"], body["why"]) == (transitions[0]["at"], transitions[0])
        if body["transitions"]["next_cursor"] is None:
            break
        cursor = {"transitions_cursor": body["transitions"]["next_cursor"]}
    watching.cancel()
    assert len(transitions) == 20_001
    assert [t["at"] for t in transitions] == sorted({t["at"] for t in transitions}, reverse=True)
    assert cycles == list(range(10_001, 0, -1))
    assert stays == [(10_001, 0.0, False), *((cycle, 2.0, True) for cycle in range(10_000, 0, -1))]
    assert sorted(waits)[len(waits) * 95 // 100] < 0.2
    metrics = await service.metrics()
    lag = "throughline_api_loop_lag_seconds"
    assert metrics[f'{lag}_bucket{{le="0.5"}}'] == metrics[f"{lag}_count"] > 0, metrics


async def test_ids_come_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)])
    await rows.link("user-1", None)
    for number in range(25):
        await rows.link(f"anon-{number:02}", "user-1", at_us=AT_US + number // 10, message_id="l")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        ids = (await ok(api, "/v1/journey", Journey, customer="anon-03", limit=7, **cursor))["ids"]
        seen += [item["id"] for item in ids["items"]]
        assert ids["total"] == 25
        if ids["next_cursor"] is None:
            break
        cursor = {"ids_cursor": ids["next_cursor"]}
    assert seen == [f"anon-{number:02}" for number in range(25)]


async def test_a_page_of_large_touchpoints_ends_early(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)])
    large = json.dumps({"properties": {"text": "x" * 1_000_000}})
    for number in range(12):
        await rows.touchpoint("user-1", f"m{number:02}", AT_US + number, rest=large)
    sizes: list[int] = []
    messages: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        touchpoints = (await ok(api, "/v1/journey", Journey, customer="user-1", limit=200, **cursor))["touchpoints"]
        sizes.append(len(touchpoints["items"]))
        messages += [item["message_id"] for item in touchpoints["items"]]
        if touchpoints["next_cursor"] is None:
            break
        cursor = {"cursor": touchpoints["next_cursor"]}
    assert sizes == [5, 5, 2]
    assert messages == [f"m{number:02}" for number in range(11, -1, -1)]


async def test_a_journey_that_is_recomputed_says_so(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)], touchpoints=1)
    assert (await ok(api, "/v1/journey", Journey, customer="user-1"))["recomputing"] is False
    await rows.mark("user-1")
    body = await ok(api, "/v1/journey", Journey, customer="user-1")
    assert (body["recomputing"], body["phase"]) == (True, "discovery")
    await rows.mark("user-2")
    await refused(api, 404, "not_computed_yet", "/v1/journey", customer="user-2")
