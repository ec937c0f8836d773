"""The api as a process: a customer of several ids, lapses, cycles, and why it is where it is."""

import httpx
from sqlalchemy import text

from services.api import schemas
from services.api.journeys.queries import touchpoints_of
from services.api.shared.cursors import TouchpointCursor
from tests.support.answers import ok, refused
from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from throughline.kit.clock import rfc3339
from throughline.store.digest import id_digest
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

DAY_S = 86_400


async def everything(api: httpx.AsyncClient, customer: str, limit: int) -> list[tuple[str, str]]:
    """(message id, user id) of all touchpoints, page by page."""
    found: list[tuple[str, str]] = []
    cursor: dict[str, str] = {}
    while True:
        body = await ok(api, "/v1/journey", schemas.Journey, customer=customer, limit=limit, **cursor)
        items = body["touchpoints"]["items"]
        found += [(item["message_id"], item["user_id"] or item["anonymous_id"]) for item in items]
        if body["touchpoints"]["next_cursor"] is None:
            return found
        assert len(items) == limit
        cursor = {"cursor": body["touchpoints"]["next_cursor"]}


async def test_any_id_leads_to_its_customer(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1)])
    await rows.link("user-1", None)
    await rows.link("old-user", "user-1", at_us=AT_US + 9, by=2, message_id="alias-1")
    await rows.link("anon-1", "old-user", at_us=AT_US + 3, message_id="identify-1")
    await rows.link("anon-2", "user-1", at_us=AT_US + 12, message_id="identify-2")
    await rows.link("stranger", None)
    answers = [
        await ok(api, "/v1/journey", schemas.Journey, customer=id) for id in ("user-1", "old-user", "anon-1", "anon-2")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert (answers[0]["customer"], answers[0]["ids_total"]) == ("user-1", 3)
    assert answers[0]["ids"] == [
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
            "insert into touchpoints (actor, message, occurred_us, received_us, source, channel, call, name,"
            " message_id, user_id, rest, bot) select $1, decode(md5($2 || n), 'hex'), $3::bigint + n / 3, 0, 1, '',"
            " 'track', '', $2 || n, $2, '{}', false from generate_series(1, 20000) n",
            id_digest(rows.workspace, id),
            id,
            AT_US,
        )
    await rows.execute("analyze touchpoints")
    first = await ok(api, "/v1/journey", schemas.Journey, customer="anon-1", limit=50)
    cursor = first["touchpoints"]["next_cursor"]
    second = await ok(api, "/v1/journey", schemas.Journey, customer="anon-1", limit=50, cursor=cursor)
    seen = [item["message_id"] for page in (first, second) for item in page["touchpoints"]["items"]]
    assert len(set(seen)) == 100
    expected = sorted((AT_US + n // 3, f"{id}{n}") for id in ("user-1", "anon-1") for n in range(19_900, 20_001))
    assert seen == [message_id for _, message_id in reversed(expected)][:100]
    engine = create_engine(rows.url)
    async with transaction(engine) as connection:
        actors = {id_digest(rows.workspace, id): id for id in ("user-1", "anon-1")}
        page = await touchpoints_of(connection, actors, TouchpointCursor(AT_US + 3000, "x", b""), 50)
        read = await connection.scalar(
            text(
                "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables "
                "where relname like 'touchpoints%'"
            )
        )
    await engine.dispose()
    assert len(page) == 50
    assert read < 300


async def test_lapses_cycles_and_the_cause_of_each_move(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 60 * DAY_S * SECOND_US)
    moves = [(0, 1), (100, 4), (20 * DAY_S, CHURN), (30 * DAY_S, 2), (40 * DAY_S, ABANDON), (50 * DAY_S, 2)]
    await rows.customer("user-1", moves)
    body = await ok(api, "/v1/journey", schemas.Journey, customer="user-1")
    assert (body["phase"], body["highest_phase"], body["cycle"]) == ("consideration", "purchase", 3)
    assert body["activity"] == {
        "state": "active",
        "since": rfc3339(AT_US + 50 * DAY_S * SECOND_US),
        "lapse": None,
        "recovered": True,
        "lapses_at": rfc3339(AT_US + 80 * DAY_S * SECOND_US),
    }
    assert [(t["kind"], t["from"], t["to"], t["skipped"], t["cycle"]) for t in body["transitions"]] == [
        ("enter", None, "discovery", [], 1),
        ("enter", "discovery", "purchase", ["consideration", "decision"], 1),
        ("lapse", "purchase", "purchase", [], 1),
        ("return", "purchase", "consideration", ["discovery"], 2),
        ("lapse", "consideration", "consideration", [], 2),
        ("return", "consideration", "consideration", ["discovery"], 3),
    ]
    assert body["transitions"][1] | {"at": "", "from": ""} == {
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
    lapse = body["transitions"][2]
    assert (lapse["message_id"], lapse["actor"], lapse["name"], lapse["rule"]) == (None, None, None, "churned")
    assert body["why"] == body["transitions"][5]
    assert [(c["cycle"], c["lapse"], c["phases"]) for c in body["cycles"]] == [
        (1, "churned", ["discovery", "purchase"]),
        (2, "abandoned", ["consideration"]),
        (3, None, ["consideration"]),
    ]
    assert body["cycles"][0]["started_at"] == rfc3339(AT_US)
    assert body["cycles"][0]["lapsed_at"] == lapse["at"]
    assert body["cycles"][1]["started_at"] == rfc3339(AT_US + 30 * DAY_S * SECOND_US)
    assert [(s["phase"], s["cycle"], s["lapsed_at"] is not None) for s in body["phases"]] == [
        ("discovery", 1, False),
        ("purchase", 1, True),
        ("consideration", 2, True),
        ("consideration", 3, False),
    ]


async def test_a_lapsed_customer(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("gone", [(0, 4), (90, CHURN)])
    await rows.customer("never-bought", [(0, 2), (60, ABANDON)])
    await rows.customer("unplaced", [])
    body = await ok(api, "/v1/journey", schemas.Journey, customer="gone")
    assert body["activity"] == {
        "state": "lapsed",
        "since": rfc3339(AT_US + 90 * SECOND_US),
        "lapse": "churned",
        "recovered": False,
        "lapses_at": None,
    }
    assert body["why"]["to"] == "purchase"
    unplaced = await ok(api, "/v1/journey", schemas.Journey, customer="unplaced")
    assert (unplaced["why"], unplaced["activity"]["lapses_at"], len(unplaced["cycles"])) == (None, None, 1)
    listed = (await ok(api, "/v1/customers", schemas.Customers))["items"]
    assert {item["customer"]: (item["activity"], item["lapse"], item["lapsed_at"]) for item in listed} == {
        "gone": ("lapsed", "churned", rfc3339(AT_US + 90 * SECOND_US)),
        "never-bought": ("lapsed", "abandoned", rfc3339(AT_US + 60 * SECOND_US)),
    }


async def test_unmapped_events(api: httpx.AsyncClient, rows: Rows) -> None:
    assert (await ok(api, "/v1/events/unmapped", schemas.Unmapped))["items"] == []
    await rows.unmapped("Quiz Finished", 7, first_us=AT_US + SECOND_US)
    await rows.unmapped("Quiz Finished", 5, shard=1, first_us=AT_US)
    await rows.unmapped("Quiz Finished", 20, source=99, first_us=AT_US + 5 * SECOND_US)
    for number in range(30):
        await rows.unmapped(f"Other {number:02}", 1 + number % 3)
    await rows.unmapped("Taken back", 0)
    first = (await ok(api, "/v1/events/unmapped", schemas.Unmapped, limit=1))["items"]
    assert first == [
        {
            "name": "Quiz Finished",
            "events": 32,
            "first_seen": rfc3339(AT_US),
            "last_seen": rfc3339(AT_US + 6 * SECOND_US),
            "sources": [{"source": None, "events": 20}, {"source": "web", "events": 12}],
        }
    ]
    found: list[tuple[int, str]] = []
    cursor: dict[str, str] = {}
    while True:
        body = await ok(api, "/v1/events/unmapped", schemas.Unmapped, limit=7, **cursor)
        found += [(-item["events"], item["name"]) for item in body["items"]]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert found == sorted(found)
    assert len(set(found)) == len(found) == 31
    await refused(api, 400, "bad_cursor", "/v1/events/unmapped", cursor="x")
