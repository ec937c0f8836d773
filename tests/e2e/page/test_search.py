"""Finding a customer: by how any of its ids begins, trimmed, in any case, as one types."""

import re

from playwright.async_api import Page, expect

from tests.support.rows import Rows
from tests.support.stack import Service


async def test_ids_are_suggested_as_one_types(page: Page, service: Service, rows: Rows) -> None:
    for name in ("Ada@shop.example", "ada-2", "grace"):
        await rows.customer(name, [(0, 1)], touchpoints=1)
        await rows.link(name, None)
    await rows.link("device-7", "grace")
    await page.goto(service.url)
    search = page.get_by_role("combobox", name="Customer id")
    options = page.locator("#suggestions [role=option]")
    await search.fill("  ada")
    await expect(options).to_have_count(2)
    await expect(search).to_have_attribute("aria-expanded", "true")
    await search.press("Escape")
    await expect(options.first).to_be_hidden()
    await search.fill("dev")
    await expect(options).to_have_text([re.compile("device-7 of grace")])
    await search.press("ArrowDown")
    await expect(options.first).to_have_attribute("aria-selected", "true")
    await search.press("Enter")
    await expect(page.locator("#title")).to_have_text("grace")
    await search.fill(" ada-2 ")
    await search.press("Enter")
    await expect(page.locator("#title")).to_have_text("ada-2")
    await search.fill("zzz")
    await expect(options).to_have_text(["No id begins so."])
    await search.fill("AD")
    await expect(options).to_have_count(2)
    await options.first.click()
    await expect(page.locator("#title")).to_have_text(re.compile("ada", re.IGNORECASE))
    await expect(options.first).to_be_hidden()
