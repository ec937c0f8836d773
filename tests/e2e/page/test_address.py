"""The address is the view: what it takes, refuses and carries on; and spans in the zones of workspaces."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from playwright.async_api import Page, Route, expect

from tests.support.rows import Rows
from tests.support.stack import Service

SPAN = """async ([text, now, zone]) => {
    const { spanOf, comparedWith } = await import("/shell/span.js");
    const span = spanOf(text, now, zone);
    return { ...span, previous: comparedWith(span, "previous", zone), year: comparedWith(span, "year", zone) };
}"""


def at(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


async def span_of(page: Page, text: str, now: str, zone: str) -> dict[str, Any]:
    answer: dict[str, Any] = await page.evaluate(SPAN, [text, at(now), zone])
    return answer


@pytest.fixture
async def opened(page: Page, service: Service, rows: Rows) -> Page:
    await page.goto(service.url)
    await expect(page.locator("#title")).to_have_text("Now")
    return page


async def test_presets_in_the_zone_of_the_workspace(opened: Page) -> None:
    cases = {
        ("today", "2026-11-29T01:00:00Z", "America/New_York"): ("2026-11-28", "2026-11-28"),
        ("yesterday", "2026-11-29T01:00:00Z", "Asia/Tokyo"): ("2026-11-28", "2026-11-28"),
        ("7d", "2026-03-03T12:00:00Z", "UTC"): ("2026-02-25", "2026-03-03"),
        ("28d", "2024-03-01T12:00:00Z", "UTC"): ("2024-02-03", "2024-03-01"),
        ("month", "2026-10-31T23:30:00Z", "Europe/Berlin"): ("2026-11-01", "2026-11-01"),
        ("quarter", "2026-12-31T12:00:00Z", "UTC"): ("2026-10-01", "2026-12-31"),
        ("year", "2026-12-31T23:30:00Z", "Pacific/Kiritimati"): ("2027-01-01", "2027-01-01"),
        ("2026-01-05..2026-02-01", "2026-11-29T01:00:00Z", "UTC"): ("2026-01-05", "2026-02-01"),
    }
    for (text, now, zone), (first, last) in cases.items():
        span = await span_of(opened, text, now, zone)
        assert (span["first"], span["last"]) == (first, last), (text, now, zone)


async def test_days_begin_where_clocks_change(opened: Page) -> None:
    days = [
        ("2026-03-29", "Europe/Berlin"),
        ("2026-10-25", "Europe/Berlin"),
        ("2026-04-05", "Australia/Lord_Howe"),
        ("2018-11-04", "America/Sao_Paulo"),  # midnight does not exist
        ("2024-02-29", "Asia/Kathmandu"),
    ]
    for date, zone in days:
        span = await span_of(opened, f"{date}..{date}", "2026-11-29T00:00:00Z", zone)
        ends, begins = (datetime.fromisoformat(span[end]).astimezone(UTC) for end in ("to", "from"))
        a_moment = timedelta(milliseconds=1)
        dates = [moment.astimezone(ZoneInfo(zone)).date().isoformat() for moment in (begins, ends - a_moment)]
        assert dates == [date, date]
        assert (begins - a_moment).astimezone(ZoneInfo(zone)).date().isoformat() < date
        assert ends.astimezone(ZoneInfo(zone)).date().isoformat() > date


async def test_what_a_span_is_compared_with(opened: Page) -> None:
    span = await span_of(opened, "2024-02-29..2024-03-02", "2026-11-29T00:00:00Z", "UTC")
    assert (span["previous"]["first"], span["previous"]["last"]) == ("2024-02-26", "2024-02-28")
    assert (span["year"]["first"], span["year"]["last"]) == ("2023-02-28", "2023-03-02")
    assert span["previous"]["to"] == span["from"]


FAULTS = [
    ("#/now?colour=red", "The view has no parameter “colour”."),
    ("#/now?span=3x", "“3x” is no value of “span”"),
    ("#/now?span=2026-02-30..2026-03-01", "is no value of “span”"),
    ("#/now?span=2026-03-02..2026-03-01", "is no value of “span”"),
    ("#/now?span=2020-01-01..2026-03-01", "is no value of “span”"),
    ("#/now?span=7d&span=28d", "“span” stands there 2 times."),
    ("#/now?compare=tomorrow", "“tomorrow” is no value of “compare”"),
    ("#/now?source=nope", "The workspace has no source “nope”."),
    ("#/now?channel=nope", "The workspace has no channel “nope”."),
    ("#/now?model=nope", "The workspace has no model “nope”."),
    ("#/customers?phase=nope", "The model has no phase “nope”."),
    ("#/nowhere", "There is no view “nowhere”."),
    ("#/now?%E0%A4%A=1", "The view has no parameter"),
]


async def test_what_is_not_there_is_said(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 3)
    for address, fault in FAULTS:
        await page.goto(f"{service.url}/{address}")
        alert = page.get_by_role("alert").filter(has_text=fault)
        await expect(alert).to_be_visible()
        await page.get_by_role("link", name="Show the view without it").click()
        await expect(page.locator("#place")).not_to_contain_text("asks for what is not there")
        await expect(alert).to_have_count(0)


async def test_common_values_are_carried_to_other_views(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 3)
    await rows.customer("ada", [(0, 1)])
    await page.goto(f"{service.url}/#/now?span=7d&source=web&channel=direct")
    await page.get_by_role("navigation").get_by_role("link", name="Customers").click()
    await expect(page.locator("#title")).to_have_text("Customers")
    await expect(page).to_have_url(f"{service.url}/#/customers?source=web&channel=direct")
    await expect(page).to_have_title("Customers · web · direct – Throughline")
    await page.get_by_role("navigation").get_by_role("link", name="Data quality").click()
    await expect(page).to_have_url(f"{service.url}/#/quality?source=web")


async def test_a_view_that_waits_is_not_drawn_over_the_one_gone_back_to(
    page: Page, service: Service, rows: Rows
) -> None:
    await rows.count(1, 3)
    await page.goto(f"{service.url}/#/quality")
    await expect(page.locator("#title")).to_have_text("Data quality")
    phases_may_come = asyncio.Event()

    async def hold(route: Route) -> None:
        await phases_may_come.wait()
        await route.continue_()

    await page.route("**/v1/phases?*", hold)
    async with page.expect_request("**/v1/phases?*"):
        await page.evaluate("location.hash = '#/customers?model=seven_phase&phase=decision'")
    await page.go_back()
    await expect(page).to_have_url(f"{service.url}/#/quality")
    async with page.expect_response("**/v1/phases?*"):
        phases_may_come.set()
    await page.evaluate("new Promise((drawn) => requestAnimationFrame(() => requestAnimationFrame(drawn)))")
    await expect(page.locator("#title")).to_have_text("Data quality")
