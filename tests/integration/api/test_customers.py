"""Customers as a list."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from services.api.customers.answers import Customers
from services.api.journeys.answers import Journey
from tests.support.answers import ok, refused
from tests.support.rows import ABANDON, AT_US, CHURN, PHASES, SECOND_US, Rows
from throughline.journey.durations import DAY_US
from throughline.kit.clock import rfc3339


async def test_unplaced_customers(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("new", [], touchpoints=2)
    body = await ok(api, "/v1/journey", Journey, customer="new")
    assert (body["phase"], body["entered_at"], body["highest_phase"]) == (None, None, None)
    assert (body["phases"], body["transitions"]["items"], len(body["touchpoints"]["items"])) == ([], [], 2)
    assert (await ok(api, "/v1/customers", Customers))["items"] == []
    listed = (await ok(api, "/v1/customers", Customers, phase="unplaced"))["items"]
    assert [(item["customer"], item["phase"]) for item in listed] == [("new", None)]


async def pages(api: httpx.AsyncClient, limit: int = 6, **which: Any) -> list[Any]:
    """All customers of a list, page by page, whose number the first page has."""
    listed: list[Any] = []
    total: int | None = None
    cursor: dict[str, str] = {}
    while True:
        page = await ok(api, "/v1/customers", Customers, limit=limit, **which, **cursor)
        total = page["total"] if total is None else total
        listed += page["items"]
        if page["next_cursor"] is None:
            assert total == len(listed)
            return listed
        assert len(page["items"]) == limit
        cursor = {"cursor": page["next_cursor"]}


async def test_customers_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    for number in range(40):
        await rows.customer(f"c{number}", [(0, 1), (number, 1 + number % 3)] if number % 3 else [(0, 1)])
    for rank in range(3):
        await rows.count(1 + rank, len(range(rank, 40, 3)))
    everybody = await pages(api)
    assert len(everybody) == 40
    assert {item["customer"]: item["phase"] for item in everybody} == {
        f"c{number}": PHASES[number % 3] for number in range(40)
    }
    for phase in PHASES:
        assert await pages(api, phase=phase) == [item for item in everybody if item["phase"] == phase]
    some = await pages(api, phase=["discovery", "decision"])
    assert some == [item for item in everybody if item["phase"] != "consideration"]
    problem = await refused(api, 400, "unknown_phase", "/v1/customers", phase="buying")
    assert problem["field"] == "phase"
    assert "purchase, experience, loyalty, advocacy, unplaced" in problem["message"]


@pytest.fixture
async def shop(rows: Rows) -> Rows:
    """Customers of all kinds, seen at T."""
    await rows.through(T_US)
    for number in range(60):
        seconds = number * 40_000
        moves = [
            [(0, 1)],
            [(0, 1), (seconds, 4)],
            [(0, 1), (5, 2), (seconds + 9, ABANDON)],
            [(0, 4), (seconds + 9, CHURN)],
        ]
        again = [(0, 1), (7, ABANDON), (seconds + 10, 3)]
        await rows.customer(
            f"c{number}",
            [*moves, again][number % 5],
            channel=["direct", "email", "unknown"][number % 3],
            last_us=AT_US + seconds * SECOND_US + 10 * SECOND_US,
            memory=MEMORIES[number % len(MEMORIES)],
        )
    return rows


T_US = AT_US + 40 * DAY_US
MEMORIES = (
    "",
    '{"cart":{"standing":7.0}}',
    '{"standing":2}\n{"o":[1]}',
    '{"orphans":{"12":3},"foreign":{"1":1},"standing":12,"cart":{"\\"standing\\":5":1.0}}\n{}',
)
ORDERS = (0, 0, 2, 12)


FILTERS: list[tuple[dict[str, Any], Callable[[Any], bool]]] = [
    ({}, lambda _: True),
    ({"activity": "active"}, lambda item: item["activity"] == "active"),
    (
        {"activity": "lapsed", "phase": "consideration"},
        lambda item: item["lapse"] == "abandoned" and item["phase"] == "consideration",
    ),
    ({"lapse": "churned"}, lambda item: item["lapse"] == "churned"),
    ({"lapse": "abandoned", "activity": "active"}, lambda _: False),
    ({"channel": ["email", "direct"]}, lambda item: item["channel"] in ("email", "direct")),
    ({"channel": "(other)"}, lambda item: item["channel"] == "unknown"),
    ({"channel": "unknown"}, lambda _: False),
    ({"source": "web", "cycle": "2+"}, lambda item: item["cycle"] == 2),
    ({"cycle": "1"}, lambda item: item["cycle"] == 1),
    ({"min_orders": 1}, lambda item: item["orders"] > 0),
    ({"min_orders": 2, "max_orders": 2}, lambda item: item["orders"] == 2),
    ({"max_orders": 0}, lambda item: item["orders"] == 0),
    ({"entered_from": rfc3339(AT_US + 9 * DAY_US)}, lambda item: item["entered_at"] >= rfc3339(AT_US + 9 * DAY_US)),
    (
        {"entered_from": rfc3339(AT_US), "entered_to": rfc3339(AT_US + 1)},
        lambda item: item["entered_at"] == rfc3339(AT_US),
    ),
    (
        {"seen_from": rfc3339(AT_US + 5 * DAY_US), "seen_to": rfc3339(AT_US + 17 * DAY_US)},
        lambda item: rfc3339(AT_US + 5 * DAY_US) <= item["last_seen"] < rfc3339(AT_US + 17 * DAY_US),
    ),
    (
        {"lapsing_within_days": 9},
        lambda item: item["lapses_at"] is not None and item["lapses_at"] < rfc3339(T_US + 9 * DAY_US),
    ),
    (
        {"phase": "purchase", "channel": "email", "min_orders": 1, "activity": "active"},
        lambda item: (
            (item["phase"], item["channel"], item["activity"], item["orders"] > 0)
            == ("purchase", "email", "active", True)
        ),
    ),
]


async def test_each_filter(api: httpx.AsyncClient, shop: Rows) -> None:
    everybody = [item for phase in PHASES for item in await raw(api, phase=phase)]
    assert sorted((int(item["customer"][1:]), item["orders"]) for item in everybody) == [
        (number, ORDERS[number % len(ORDERS)]) for number in range(60)
    ]
    for which, is_one in FILTERS:
        expected = sorted(item["customer"] for item in everybody if is_one(item))
        for sort, key in {"id": None, "last_seen": "last_seen", "entered": "entered_at"}.items():
            listed = await raw(api, **which, sort=sort)
            assert sorted(item["customer"] for item in listed) == expected, which
            values = [item[key] for item in listed if key is not None]
            assert values == sorted(values, reverse=True)
            other_way = "desc" if sort == "id" else "asc"
            assert await raw(api, **which, sort=sort, order=other_way) == listed[::-1]


async def raw(api: httpx.AsyncClient, **which: Any) -> list[Any]:
    """All customers of a list page by page, whatever the kept counts say of their number."""
    page = await ok(api, "/v1/customers", Customers, limit=25, **which)
    items = list(page["items"])
    while page["next_cursor"] is not None:
        page = await ok(api, "/v1/customers", Customers, limit=25, cursor=page["next_cursor"], **which)
        assert (page["total"], page["total_is_exact"]) == (None, False)
        items += page["items"]
    return items


async def test_a_list_says_what_it_cannot_be_asked(api: httpx.AsyncClient, shop: Rows) -> None:
    cursor = (await ok(api, "/v1/customers", limit=1))["next_cursor"]
    await refused(api, 400, "bad_cursor", "/v1/customers", cursor=cursor, sort="entered")
    await refused(api, 400, "bad_cursor", "/v1/customers", cursor=cursor, order="desc")
    at = rfc3339(AT_US)
    for which, field in (
        ({"entered_from": at, "entered_to": at}, "entered_to"),
        ({"seen_from": "yesterday"}, "seen_from"),
        ({"min_orders": 2, "max_orders": 1}, "max_orders"),
        ({"min_orders": -1}, "min_orders"),
        ({"lapsing_within_days": 0}, "lapsing_within_days"),
        ({"sort": "age"}, "sort"),
        ({"as_of": at, "sort": "entered"}, "as_of"),
        ({"as_of": at, "min_orders": 1}, "as_of"),
    ):
        problem = await refused(api, 400, "invalid_parameter", "/v1/customers", **which)
        assert problem["field"] == field
    await refused(api, 400, "repeated_parameter", "/v1/customers", activity=["active", "lapsed"])


async def test_customers_as_they_stood(api: httpx.AsyncClient, rows: Rows) -> None:
    minute = 60
    await rows.through(AT_US + 100 * minute * SECOND_US)
    await rows.customer("ada", [(0, 1), (5 * minute, 3), (20 * minute, ABANDON), (50 * minute, 4)])
    await rows.customer("ben", [(10 * minute, 2)])
    await rows.customer("cleo", [(0, 4), (30 * minute, CHURN)])

    async def then(minutes: int, **which: str) -> list[tuple[str, str | None, str, int]]:
        page = await ok(api, "/v1/customers", Customers, as_of=rfc3339(AT_US + minutes * minute * SECOND_US), **which)
        return sorted((item["customer"], item["phase"], item["activity"], item["cycle"]) for item in page["items"])

    assert await then(4) == [("ada", "discovery", "active", 1), ("cleo", "purchase", "active", 1)]
    assert await then(4, phase="unplaced") == [("ben", None, "active", 1)]
    assert await then(25) == [
        ("ada", "decision", "lapsed", 1), ("ben", "consideration", "active", 1), ("cleo", "purchase", "active", 1),
    ]  # fmt: skip
    assert await then(25, lapse="abandoned") == [("ada", "decision", "lapsed", 1)]
    assert await then(35, lapse="churned") == [("cleo", "purchase", "lapsed", 1)]
    assert await then(60, cycle="2") == [("ada", "purchase", "active", 2)]
    assert await then(-5) == []


async def test_a_lapsed_customer(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("gone", [(0, 4), (90, CHURN)])
    await rows.customer("never-bought", [(0, 2), (60, ABANDON)])
    await rows.customer("unplaced", [])
    body = await ok(api, "/v1/journey", Journey, customer="gone")
    assert body["activity"] == {
        "state": "lapsed",
        "since": rfc3339(AT_US + 90 * SECOND_US),
        "lapse": "churned",
        "recovered": False,
        "lapses_at": None,
    }
    assert body["why"]["to"] == "purchase"
    unplaced = await ok(api, "/v1/journey", Journey, customer="unplaced")
    assert (unplaced["why"], unplaced["activity"]["lapses_at"], len(unplaced["cycles"])) == (None, None, 1)
    listed = (await ok(api, "/v1/customers", Customers))["items"]
    assert {item["customer"]: (item["activity"], item["lapse"], item["lapsed_at"]) for item in listed} == {
        "gone": ("lapsed", "churned", rfc3339(AT_US + 90 * SECOND_US)),
        "never-bought": ("lapsed", "abandoned", rfc3339(AT_US + 60 * SECOND_US)),
    }
