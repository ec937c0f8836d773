"""The events as they come."""

from playwright.async_api import Page, expect

from tests.e2e.page.conftest import HOSTILE
from tests.support.rows import AT_US, Rows
from tests.support.stack import Service
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us


async def test_events_are_shown_as_they_come_with_what_became_of_them(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(f"{service.url}/#/events/web")
    panel = page.locator("#place")
    await expect(panel.get_by_role("heading", name="No events yet")).to_be_visible()
    await expect(panel.locator("pre").first).to_contain_text("curl -u WRITE_KEY: http://127.0.0.1:8081/v1/track")
    await rows.customer(HOSTILE, [(0, 1)])
    await rows.recent("m1", AT_US, actor=HOSTILE, name=HOSTILE, channel=HOSTILE)
    await rows.recent("m2", AT_US + 1, warnings="illegal_id,tomorrow")
    events = panel.locator(".events li")
    await expect(events.locator(".verdict")).to_have_text(["Warning", "OK"])
    await expect(events.first).to_contain_text("An id was a placeholder")
    await expect(events.first.locator(".why code")).to_have_text(["illegal_id", "tomorrow"])
    await rows.refused("m3", AT_US + 2, name=HOSTILE, message=HOSTILE, payload=HOSTILE.encode())
    await expect(events.locator(".verdict")).to_have_text(["Rejected", "Warning", "OK"])
    await events.first.locator("summary").press("Enter")
    await expect(events.first.locator("pre")).to_have_text(HOSTILE)
    await expect(events.first.locator("dd").first).to_have_text("event")
    await page.set_viewport_size({"width": 360, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await panel.get_by_label("Show").select_option("rejected")
    await expect(events).to_have_count(1)
    await panel.get_by_label("Show").select_option("dropped")
    await expect(panel.get_by_text("only the number is kept")).to_be_visible()
    await rows.execute(
        "insert into rejected_counts values ($1, $2, $3, 'consent', 'no_consent', 'Ad Clicked', 0, 7, 0)",
        rows.workspace,
        now_us() // HOUR_US * HOUR_US,
        rows.source,
    )
    await expect(panel.get_by_text("dropped for want of consent 7 (7 Ad Clicked)")).to_be_visible()
    await panel.get_by_label("Show").select_option("")
    await expect(events.last.locator("strong")).to_have_text(HOSTILE)
    await events.last.get_by_role("link").click()
    await expect(page.locator("#title")).to_have_text(HOSTILE)
    await page.go_back()
    await expect(page.locator("#title")).to_have_text("Live events")
    assert await page.locator("main img").count() == 0
    assert await page.title() == "Live events · web – Throughline"


async def test_nobody_asks_for_events_that_nobody_sees(page: Page, service: Service, rows: Rows) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/events/recent" in request.url else None)
    await page.clock.install()
    await page.goto(f"{service.url}/#/events/")
    panel = page.locator("#place")
    await rows.recent("m1", AT_US)
    await expect(panel.locator(".events li")).to_have_count(1)

    async def hide(hidden: str) -> None:
        await page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }})")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await hide("true")
    await page.clock.run_for(3000)  # whatever was on its way has come
    requests.clear()
    await rows.recent("m2", AT_US + 1)
    await page.clock.run_for(5000)
    assert requests == []
    await hide("false")
    await expect(panel.locator(".events li")).to_have_count(2)
    await panel.get_by_role("button", name="Pause").click()
    await rows.recent("m3", AT_US + 2)
    await page.clock.run_for(5000)
    await expect(panel.locator(".events li")).to_have_count(2)
    await panel.get_by_role("button", name="Go on").click()
    await expect(panel.locator(".events li")).to_have_count(3)
    await page.get_by_role("link", name="Now", exact=True).click()
    await expect(page.locator("#title")).to_have_text("Now")
    requests.clear()
    await page.clock.run_for(5000)
    assert requests == []
