"""What is wrong with what comes in."""

from playwright.async_api import Page, expect

from tests.e2e.page.conftest import HOSTILE
from tests.support.rows import SECOND_US, Rows
from tests.support.stack import Service
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us


async def test_all_is_well(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(f"{service.url}/#/quality")
    for sentence in (
        "Nothing was rejected, last 28 days.",
        "None of the last events has a warning.",
        "Every name has a meaning.",
        "Every refund has its order.",
        "No id is suspect.",
    ):
        await expect(page.get_by_text(sentence)).to_be_visible()


async def test_what_is_wrong_is_listed(page: Page, service: Service, rows: Rows) -> None:
    now = now_us()
    await rows.unmapped("Signed Upp", 1200)
    await rows.unmapped(HOSTILE, 7)
    await rows.refunds(12, 3)
    await rows.refunds(0, 2, source=99)
    await rows.refused("m3", now, name=HOSTILE, message=HOSTILE, payload=HOSTILE.encode())
    await rows.execute(
        "insert into rejected_counts values ($1, $2, $3, 'ingest', 'missing_field', '', 0, 1234, 1)",
        rows.workspace,
        now // HOUR_US * HOUR_US,
        rows.source,
    )
    await rows.recent("r1", now, warnings="illegal_id")
    await rows.recent("r2", now, occurred_us=now - 7200 * SECOND_US)
    await page.goto(f"{service.url}/#/quality")
    place = page.locator("#place")
    await expect(place.get_by_text("1,234 events rejected and 0 dropped for want of consent")).to_be_visible()
    names = place.locator(".card", has_text="Names without a meaning").locator("tbody tr")
    await expect(names.first).to_contain_text("did you mean Signed Up?")
    await expect(names.nth(1)).to_contain_text(HOSTILE)
    await expect(place.locator(".card", has_text="Warnings")).to_contain_text("An id was a placeholder")
    refunds = place.locator(".card", has_text="Refunds without an order").locator("li")
    await expect(refunds).to_have_text(
        [
            "web: 12 refunds or cancellations of orders that their customer never placed",
            "web: 3 refunds in another currency than that of their order",
            "A source that is gone: 2 refunds in another currency than that of their order",
        ]
    )
    await expect(place.locator(".card", has_text="Lateness")).to_contain_text("1 of 2")
    refused = place.locator(".card", has_text="Refused")
    await refused.get_by_text("The last 1, as sent").click()
    await refused.locator(".samples summary").click()
    await expect(refused.locator("pre")).to_have_text(HOSTILE)
    await page.set_viewport_size({"width": 360, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("main img").count() == 0
