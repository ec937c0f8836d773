"""The unmodified posthog-js on a page of another origin: every event once, the last ones as the page closes."""

from urllib.parse import urlencode

from playwright.async_api import Browser, expect

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import Fault, every_fault
from tests.e2e.clients.website import Website

EVENTS = 40
LAST = 10


@every_fault
async def test_every_event_once(edge: Edge, chromium: Browser, website: Website, fault: Fault) -> None:
    fault(edge.proxy)
    query = urlencode({"host": edge.url, "key": edge.write_key, "count": EVENTS})
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        failures: list[str] = []
        page.on("pageerror", lambda error: failures.append(str(error)))
        await page.goto(f"{await website.page('posthog')}?{query}&utm_source=news&utm_medium=email")
        await expect(page).to_have_title("sent")
        await edge.arrived(EVENTS)
        await page.evaluate("count => leave(count)", LAST)
        await page.goto("about:blank")
        # One more is the library's own $pageleave.
        touchpoints = await edge.arrived(EVENTS + LAST + 1)
    finally:
        await context.close()
    assert failures == []
    viewed = {t.product_id: t for t in touchpoints if t.name == "Product Viewed"}
    assert set(viewed) == {"p-1", *(f"p-{n}" for n in range(3, EVENTS)), *(f"p-last-{n}" for n in range(LAST))}
    (start,) = [t for t in touchpoints if t.call == "page"]
    assert (start.user_id, start.channel, start.anonymous_id) == ("", "email", start.actor)
    (identified,) = [t for t in touchpoints if t.call == "identify"]
    assert (identified.user_id, identified.anonymous_id) == ("ada", start.actor)
    assert viewed["p-1"].anonymous_id == start.actor
    assert {t.user_id for t in touchpoints if t.product_id not in ("", "p-1")} == {"ada"}
    assert sum(t.name == "$pageleave" for t in touchpoints) == 1
    assert all(not t.warnings for t in touchpoints)
