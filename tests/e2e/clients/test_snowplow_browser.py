"""The unmodified @snowplow/browser-tracker on a page of another origin: every event once, the last one at its close."""

import json
from pathlib import Path
from urllib.parse import urlencode

from playwright.async_api import Browser, expect

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import Fault, every_fault
from tests.e2e.clients.website import Website
from tests.support.sdks_doc import blocks

EVENTS = 40
SEND_MS = 60_000


@every_fault
async def test_every_event_once(edge: Edge, chromium: Browser, website: Website, fault: Fault) -> None:
    fault(edge.proxy)
    query = urlencode({"host": edge.url, "key": edge.write_key, "count": EVENTS})
    context = await chromium.new_context()
    try:
        page = await context.new_page()
        await page.goto(f"{await website.page('snowplow')}?{query}&utm_source=news&utm_medium=email")
        await expect(page).to_have_title("delivered", timeout=SEND_MS)
        await page.goto("about:blank")
        touchpoints = await edge.arrived(EVENTS + 1)
    finally:
        await context.close()
    first, *later = touchpoints
    assert (first.call, first.name, first.channel, first.user_id) == ("page", "Home", "email", "")
    assert {t.user_id for t in later} == {"dora"}
    assert {t.anonymous_id for t in touchpoints} == {first.actor}
    (order,) = [t for t in touchpoints if t.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-4", 99.0, "EUR", "BOOT-MID")
    assert sum(t.name == "search" for t in touchpoints) == EVENTS - 2
    assert later[-1].name == "left"


async def test_the_recipe(edge: Edge, chromium: Browser, website: Website, node_project: Path) -> None:
    recipe = blocks("Snowplow", "js")[1]
    # A bundler does the same.
    for name, value in (("process.env.INGEST", edge.url), ("process.env.WRITE_KEY", edge.write_key)):
        recipe = recipe.replace(name, json.dumps(value))
    (node_project / "snowplow-recipe.page.mjs").write_text(recipe)
    page = await chromium.new_page()
    try:
        await page.goto(await website.page("snowplow-recipe"))
        (touchpoint,) = await edge.arrived(1)
    finally:
        await page.close()
    assert (touchpoint.actor, touchpoint.call, touchpoint.name) == ("fay", "page", "Shop")
