"""The unmodified @snowplow/browser-tracker on a page of another origin: every event once, the last one at its close."""

from urllib.parse import urlencode

from playwright.async_api import Browser, expect

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.troubles import Trouble, every_trouble
from tests.e2e.clients.website import Website

EVENTS = 40
SEND_MS = 60_000


@every_trouble
async def test_every_event_once(edge: Edge, chromium: Browser, website: Website, trouble: Trouble) -> None:
    trouble(edge.fault)
    asked = urlencode({"host": edge.url, "key": edge.write_key, "count": EVENTS})
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{await website.page('snowplow')}?{asked}&utm_source=news&utm_medium=email")
        await expect(page).to_have_title("delivered", timeout=SEND_MS)
        await page.goto("about:blank")
        facts = await edge.arrived(EVENTS + 1)
    finally:
        await context.close()
    first, *later = facts
    assert (first.call, first.name, first.channel, first.user_id) == ("page", "Home", "email", "")
    assert {fact.user_id for fact in later} == {"dora"}
    assert {fact.anonymous_id for fact in facts} == {first.actor}
    (order,) = [fact for fact in facts if fact.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-4", 99.0, "EUR", "BOOT-MID")
    assert sum(fact.name == "search" for fact in facts) == EVENTS - 2
    assert later[-1].name == "left"
