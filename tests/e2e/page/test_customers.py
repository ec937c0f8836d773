"""From a number to its customers."""

from playwright.async_api import Page, expect

from tests.support.rows import Rows
from tests.support.stack import Service


async def test_from_a_phase_to_a_customer_and_back(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(2, 60)
    for number in range(60):
        await rows.customer(f"c{number}", [(0, 2)])
    await page.goto(service.url)
    await page.get_by_role("link", name="Consideration").press("Enter")
    await expect(page.locator(".customers li")).to_have_count(50)
    await page.get_by_role("button", name="Load more").click()
    await expect(page.locator(".customers li")).to_have_count(60)
    await expect(page.get_by_role("button", name="Load more")).to_be_hidden()
    await page.get_by_role("link", name="c33", exact=True).click()
    await expect(page.locator(".detail h2").first).to_have_text("c33")
    await page.go_back()
    await expect(page.locator(".detail h2").first).to_have_text("Consideration")
    await page.get_by_label("Close").click()
    await expect(page.locator(".detail .card")).to_have_count(0)
