"""Customers as a list."""

import httpx

from services.api.customers.answers import Customers
from services.api.journeys.answers import Journey
from tests.support.answers import ok, refused
from tests.support.rows import ABANDON, AT_US, CHURN, PHASES, SECOND_US, Rows
from throughline.kit.clock import rfc3339


async def test_unplaced_customers(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("new", [], touchpoints=2)
    body = await ok(api, "/v1/journey", Journey, customer="new")
    assert (body["phase"], body["entered_at"], body["highest_phase"]) == (None, None, None)
    assert (body["phases"], body["transitions"]["items"], len(body["touchpoints"]["items"])) == ([], [], 2)
    assert (await ok(api, "/v1/customers", Customers))["items"] == []
    listed = (await ok(api, "/v1/customers", Customers, phase="unplaced"))["items"]
    assert [(item["customer"], item["phase"]) for item in listed] == [("new", None)]


async def test_customers_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    for number in range(40):
        await rows.customer(f"c{number}", [(0, 1), (number, 1 + number % 3)] if number % 3 else [(0, 1)])

    async def everyone(**which: str) -> list[tuple[str, str]]:
        listed: list[tuple[str, str]] = []
        cursor: dict[str, str] = {}
        while True:
            page = await ok(api, "/v1/customers", Customers, limit=6, **which, **cursor)
            listed += [(item["phase"], item["customer"]) for item in page["items"]]
            if page["next_cursor"] is None:
                return listed
            assert len(page["items"]) == 6
            cursor = {"cursor": page["next_cursor"]}

    expected = {(PHASES[number % 3], f"c{number}") for number in range(40)}
    everybody = await everyone()
    assert (len(everybody), set(everybody)) == (40, expected)
    for phase in PHASES:
        some = await everyone(phase=phase)
        assert (len(some), set(some)) == (len(set(some)), {customer for customer in expected if customer[0] == phase})
    cursor = (await ok(api, "/v1/customers", phase="discovery", limit=1))["next_cursor"]
    await refused(api, 400, "bad_cursor", "/v1/customers", phase="decision", cursor=cursor)
    problem = await refused(api, 400, "unknown_phase", "/v1/customers", phase="buying")
    assert problem["field"] == "phase"
    assert "purchase, experience, loyalty, advocacy, unplaced" in problem["message"]


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
