"""From a number to its customers, and customers by any filter."""

import re

from playwright.async_api import Page, expect

from tests.support.rows import CHURN, Rows
from tests.support.stack import Service, Stack


async def test_from_a_phase_to_a_customer_and_back(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(2, 60)
    for number in range(60):
        await rows.customer(f"c{number}", [(0, 2)])
    await page.goto(service.url)
    await page.get_by_role("link", name="Consideration").press("Enter")
    customers = page.locator("tbody tr")
    await expect(page.locator(".counted")).to_have_text("60 customers in Consideration")
    await expect(page.locator("#title")).to_be_focused()
    await expect(customers).to_have_count(50)
    await page.get_by_role("button", name="Load more").click()
    await expect(customers).to_have_count(60)
    await expect(page.get_by_role("button", name="Load more")).to_be_hidden()
    await page.get_by_role("link", name="c33", exact=True).click()
    await expect(page.locator("#title")).to_have_text("c33")
    await expect(page.get_by_role("navigation").get_by_role("link", name="Customers")).to_have_attribute(
        "aria-current", "page"
    )
    await page.keyboard.press("Escape")
    await expect(page.locator("#title")).to_have_text("Customers")
    await page.go_back()
    await expect(page.locator("#title")).to_have_text("Now")
    await expect(page.get_by_role("link", name="Consideration")).to_be_focused()


async def test_every_filter_stands_in_the_address(page: Page, service: Service, stack: Stack, rows: Rows) -> None:
    await rows.customer("ada", [(0, 2)])
    await rows.customer("grace", [(0, 4), (20 * 86400, CHURN)])
    await rows.customer("lin", [(0, 4), (5, CHURN), (50, 2)], channel="email")
    await rows.count(2, 2)
    await rows.count(4, 0, lapsed=1, churned=1)
    await rows.count(2, 0, channel="email", entered=0)
    await page.goto(f"{service.url}/#/customers")
    names = page.locator("tbody th")
    await expect(names).to_have_count(3)
    await page.get_by_label("Activity").select_option("Lapsed")
    await expect(names).to_have_text(["grace"])
    await expect(page).to_have_url(re.compile(r"activity=lapsed"))
    await page.get_by_role("link", name="Without Activity lapsed").click()
    await expect(names).to_have_count(3)
    await page.get_by_text("More filters").click()
    await page.get_by_role("textbox", name="Cycle").fill("2+")
    await page.get_by_role("textbox", name="Cycle").press("Enter")
    await expect(names).to_have_text(["lin"])
    await expect(page.get_by_role("textbox", name="Cycle")).to_have_value("2+")
    await page.reload()
    await expect(names).to_have_text(["lin"])
    csv = await page.get_by_role("link", name="CSV").get_attribute("href")
    assert csv is not None
    async with stack.api(service) as api:
        lines = (await api.get(csv)).text.splitlines()
    assert (len(lines), lines[1].partition(",")[0]) == (2, "lin")
    await page.goto(f"{service.url}/#/customers?min_orders=7")
    await expect(page.get_by_role("heading", name="Nobody is like this")).to_be_visible()
    await page.get_by_role("link", name="Show all customers").click()
    await expect(names).to_have_count(3)


async def test_addresses_of_before_go_on_working(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 2)])
    await rows.count(2, 1)
    await page.goto(f"{service.url}/#/phase/consideration")
    await expect(page.locator("tbody th")).to_have_text("ada")
    await expect(page).to_have_url(re.compile(r"#/customers\?phase=consideration$"))
    await page.goto(f"{service.url}/#/events/web")
    await expect(page.locator("#title")).to_have_text("Live events")
    await expect(page.get_by_label("Source")).to_have_value("=web")


async def test_moves_behind_a_number(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1), (60, 2)])
    await rows.customer("lin", [(0, 1)])
    await rows.count(1, 1, left=1)
    await page.goto(f"{service.url}/#/moves?kind=enter&kind=return&to_phase=discovery")
    await expect(page.locator(".counted")).to_have_text("2 moves")
    await expect(page.locator(".chips")).to_contain_text("to phase Discovery")
    await page.get_by_role("link", name="lin", exact=True).click()
    await expect(page.locator("#title")).to_have_text("lin")
