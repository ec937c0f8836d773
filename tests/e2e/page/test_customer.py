"""One customer."""

import re

import pytest
from playwright.async_api import Page, expect

from tests.e2e.page.conftest import HOSTILE
from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from tests.support.stack import Service, until


async def test_a_journey(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1), (3600, 2), (90000, 4)], touchpoints=70)
    at_us = AT_US + 90000 * SECOND_US
    await rows.touchpoint("user-1", "o", at_us, name="Order Completed", order_id="1042", value=59.9, currency="EUR")
    await page.goto(service.url)
    await page.get_by_label("Customer id").fill("user-1")
    await page.get_by_role("button", name="Find").click()
    timeline = page.locator(".timeline li")
    await expect(timeline.locator("strong")).to_have_text(["Purchase", "Consideration", "Discovery"])
    await expect(timeline.locator(".spent")).to_have_text([re.compile(r"d .*so far$"), "1 d", "1 h"])
    await expect(timeline.last.locator(".cause")).to_contain_text("Product Viewed by rule “product_viewed”")
    touchpoints = page.locator(".touchpoints li")
    await expect(touchpoints).to_have_count(50)
    await expect(touchpoints.first).to_contain_text("order id 1042")
    await page.get_by_role("button", name="Load more").click()
    await expect(touchpoints).to_have_count(71)
    await touchpoints.nth(1).get_by_text("As sent").click()
    await expect(touchpoints.nth(1).locator("pre")).to_contain_text('"color": "green"')
    await page.get_by_label("Customer id").fill("nobody")
    await page.get_by_label("Customer id").press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="no touchpoint of this customer")).to_be_visible()


async def test_a_journey_with_lapses(page: Page, service: Service, rows: Rows) -> None:
    day_s = 86_400
    moves = [(0, 1), (100, 4), (20 * day_s, CHURN), (30 * day_s, 2), (40 * day_s, ABANDON)]
    await rows.customer("user-1", moves)
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline li")
    await expect(timeline.locator("strong")).to_have_text(["Consideration", "Purchase", "Discovery"])
    await expect(timeline.first.locator(".cause")).to_contain_text("cycle 2")


async def test_a_long_journey_comes_in_pages(page: Page, service: Service, rows: Rows) -> None:
    day_s = 86_400
    await rows.customer("user-1", [(n * 40 * day_s // 2, ABANDON if n % 2 else 2) for n in range(121)])
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline li")
    spread = page.locator(".spread span")
    await expect(timeline).to_have_count(25)
    await expect(timeline.first.locator(".cause")).to_contain_text("cycle 61")
    earlier = page.get_by_role("button", name="Earlier phases")
    for shown in (50, 61):
        await earlier.click()
        await expect(timeline).to_have_count(shown)
        await expect(spread).to_have_count(shown)
    await expect(earlier).to_be_hidden()
    await expect(timeline.last.locator(".cause")).not_to_contain_text("cycle")


async def test_a_hostile_id_stays_text(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1, channel=HOSTILE)
    await rows.customer(HOSTILE, [(0, 1)], channel=HOSTILE)
    await rows.touchpoint(HOSTILE, "m", AT_US, name=HOSTILE, order_id=HOSTILE, channel=HOSTILE)
    await page.goto(service.url)
    await page.get_by_role("link", name="Discovery").click()
    await page.locator(".customers a").click()
    await expect(page.locator(".detail h2").first).to_have_text(HOSTILE)
    await expect(page.locator(".touchpoints strong")).to_have_text(HOSTILE)
    await page.get_by_label("Channel").select_option(HOSTILE)
    await expect(page.locator("#customers")).to_have_text("1")
    await page.reload()
    await expect(page.locator(".detail h2").first).to_have_text(HOSTILE)
    assert await page.locator("main img").count() == 0
    assert await page.title() == "Throughline"


@pytest.mark.parametrize("width", [360, 820, 1400])
async def test_nothing_is_cut_off(page: Page, service: Service, rows: Rows, width: int) -> None:
    await rows.count(1, 1_234_567_890, lapsed=1_234_567_890)
    await rows.customer("x" * 300, [(0, 1), (5, 2)], touchpoints=2)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{service.url}/#/customer/{'x' * 300}")
    await expect(page.locator(".timeline li")).to_have_count(2)

    async def fits() -> bool:
        return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    await until(fits, seconds=5, what="the page to fit its window")
