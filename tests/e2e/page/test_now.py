"""The live counts by phase."""

import re

from playwright.async_api import Page, expect

from tests.e2e.page.conftest import now_in
from tests.support.rows import Rows
from tests.support.stack import Service


async def test_counts_are_live(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1200, lapsed=34, left=50)
    await rows.count(0, 7, entered=0)
    await page.goto(service.url)
    await expect(page.locator(now_in("discovery"))).to_have_text("1,234")
    row = page.locator('tr[data-phase="discovery"] td.number')
    await expect(row).to_have_text(["1,200", "34", "1,284", "50"])
    await expect(page.locator("#customers")).to_have_text("1,234")
    await expect(page.locator("#unplaced")).to_have_text("7")
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#empty")).to_be_hidden()
    await rows.count(4, 66)
    await expect(page.locator(now_in("purchase"))).to_have_text("66")
    await expect(page.locator("#customers")).to_have_text("1,300")
    headers = page.get_by_role("columnheader")
    await expect(headers).to_have_text(
        [re.compile(name) for name in ("Phase", "Now", "Active", "Lapsed", "Entered", "Left")]
    )


async def test_filters(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 10, channel="email")
    await rows.count(1, 5)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("15")
    await page.get_by_label("Channel").select_option("email")
    await expect(page.locator("#customers")).to_have_text("10")
    await page.get_by_label("Source").select_option("web")
    await rows.count(1, 1, channel="email")
    await expect(page.locator("#customers")).to_have_text("11")
    await page.get_by_label("Channel").select_option("")
    await expect(page.locator("#customers")).to_have_text("16")


async def test_another_model_is_a_choice_away(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(4, 10)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("10")
    await expect(page.get_by_label("Model")).to_be_hidden()  # there is one
    rows.model = await rows.live("five_stage")
    await rows.count(2, 3)
    await page.reload()
    await page.get_by_label("Model").select_option("five_stage")
    await expect(page.locator("#phases tr")).to_have_count(5)
    await expect(page.locator("#customers")).to_have_text("3")
    await rows.count(2, 1)
    await expect(page.locator("#customers")).to_have_text("4")
    second = page.locator("#phases tr").nth(1).get_by_role("link")
    await second.click()
    await expect(page.locator("#detail h2")).to_have_text(await second.inner_text())
    await page.get_by_label("Model").select_option("seven_phase")
    await expect(page.locator("#phases tr")).to_have_count(7)
    await expect(page.locator("#customers")).to_have_text("10")


async def test_an_empty_workspace_shows_how_to_start(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(service.url)
    await expect(page.locator("#empty")).to_be_visible()
    await expect(page.locator("#first-event")).to_contain_text("curl -u WRITE_KEY: http://127.0.0.1:8081/v1/track")
    await rows.count(1, 1)
    await expect(page.locator("#empty")).to_be_hidden()


async def test_the_filter_has_all_channels_however_many_pages(page: Page, service: Service, rows: Rows) -> None:
    for number in range(205):
        await rows.count(1, 1, channel=f"own-{number:03}")
    await page.goto(service.url)
    await expect(page.get_by_label("Channel").locator("option")).to_have_count(206)
