"""What stands where there is nothing to draw, and views in print, zoomed, in forced colours, or saved as files."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.page.conftest import enter, shop_of
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us

PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
async def small(module_stack: Stack) -> Stack:
    """A workspace with a few customers, none of them by affiliates, which no test changes."""
    stack = await shop_of(module_stack, "small", 60)
    async with Rows(stack.database, stack.workspace_id) as rows:
        await rows.count(1, 1, channel="affiliate")
        await rows.count(1, 60, at_us=now_us())
    return stack


@pytest.fixture
async def shop(page: Page, server: Service, small: Stack) -> str:
    """The address of the page, in which the shop is open."""
    await enter(page, server, small)
    return server.url


async def open_view(page: Page, shop: str, address: str) -> None:
    """Open a view, of which nothing of the view before stands there."""
    await page.goto("about:blank")
    await page.goto(f"{shop}/#/{address}")


def first_figure(page: Page) -> Locator:
    return page.locator("#place figure .sentence").first


@pytest.mark.parametrize("view", ["funnel", "channels"])
async def test_a_span_of_nothing_leads_to_the_nearest_that_has_some(page: Page, shop: str, view: str) -> None:
    day = (datetime.now(UTC) + timedelta(days=2)).date()
    await open_view(page, shop, f"{view}?span={day}..{day}")
    await expect(page.get_by_role("heading", name="None in this span")).to_be_visible(timeout=PATIENCE_MS)
    await page.get_by_role("link", name="The nearest span that has some").click()
    await expect(first_figure(page)).to_be_visible(timeout=PATIENCE_MS)


async def test_a_filter_that_leaves_nothing_is_named_and_taken_away(page: Page, shop: str) -> None:
    await open_view(page, shop, "funnel?span=90d&channel=affiliate")
    await expect(page.get_by_role("heading", name="Filtered away")).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.get_by_text("The filter affiliate leaves no entries into Discovery")).to_be_visible()
    await page.get_by_role("link", name="Without the filter").click()
    await expect(first_figure(page)).to_be_visible(timeout=PATIENCE_MS)
    assert "channel" not in page.url


async def test_a_picture_is_printed_and_told_apart_in_forced_colours(page: Page, shop: str) -> None:
    await open_view(page, shop, "funnel?span=90d&window=7d")
    steps = page.get_by_role("figure", name="Steps")
    bar = steps.locator(".fill.reached").first
    await expect(bar).to_be_visible(timeout=PATIENCE_MS)
    await page.emulate_media(forced_colors="active")
    fills = "shapes => new Set(shapes.map((shape) => getComputedStyle(shape).fill)).size"
    kinds = steps.locator(".fill.reached, .base, .whisker circle")
    assert await kinds.evaluate_all(fills) >= 3
    await page.emulate_media(media="print", forced_colors="none")
    await expect(bar).to_be_visible()
    await expect(steps.locator(".sentence")).to_be_visible()
    for control in (steps.get_by_role("button", name="Table"), page.locator("#search"), page.get_by_role("navigation")):
        await expect(control).to_be_hidden()


async def test_a_browser_zoomed_to_200_percent_shows_all(browser: Browser, server: Service, small: Stack) -> None:
    # A window of 1280 pixels has 640 of its own then, each of them two of the screen's.
    context = await browser.new_context(
        locale="en-GB", viewport={"width": 640, "height": 450}, device_scale_factor=2, reduced_motion="reduce"
    )
    page = await context.new_page()
    await enter(page, server, small)
    for view in ("now", "funnel?span=90d", "abandonment?span=90d"):
        await open_view(page, server.url, view)
        await expect(page.locator("#place .card").first).to_be_visible(timeout=PATIENCE_MS)
        await expect(page.locator("#place [aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view
        assert await page.locator("#span").is_visible()
    await page.get_by_role("button", name="Views").click()
    await expect(page.get_by_role("link", name="Data quality")).to_be_in_viewport()
    await context.close()


async def test_a_table_is_saved_as_it_stands(page: Page, shop: str) -> None:
    await open_view(page, shop, "flows?span=90d")
    standing = page.get_by_role("figure", name="What became of each phase")
    await standing.get_by_role("button", name="Table").click(timeout=PATIENCE_MS)
    await expect(standing.locator("tbody tr").first).to_be_visible()
    shown = [await row.locator("th, td").all_inner_texts() for row in await standing.locator("tbody tr").all()]
    async with page.expect_download() as download:
        await standing.get_by_role("button", name="What became of each phase as CSV").click()
    saved = (await (await download.value).path()).read_text(encoding="utf-8-sig")
    heads, *rows = csv.reader(io.StringIO(saved, newline=""))
    assert heads[0] == "Phase"
    assert rows == shown
    await open_view(page, shop, "now")
    await expect(page.locator("#customers")).to_have_text("61")
    async with page.expect_download() as download:
        await page.get_by_role("button", name="Phases as CSV").click()
    saved = (await (await download.value).path()).read_text(encoding="utf-8-sig")
    assert [line[0] for line in csv.reader(io.StringIO(saved, newline=""))][:2] == ["Phase", "Discovery"]
