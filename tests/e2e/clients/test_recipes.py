"""The browser snippets of docs/sdks.md, bundled unchanged, in Chromium."""

from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.website import Website
from tests.support.sdks_doc import blocks

# PostHog's library sends nothing from a browser that reports to be automated.
HIDE = "Object.defineProperty(navigator, 'webdriver', { get: () => false })"


@pytest.mark.parametrize(
    ("section", "user"),
    [("Browser", "mia"), ("RudderStack", "pia"), ("Jitsu", "sara"), ("Snowplow", "fay"), ("PostHog", "lea")],
)
async def test_browser(
    chromium: Browser, website: Website, node_project: Path, edge: Edge, section: str, user: str
) -> None:
    (node_project / "recipe.page.mjs").write_text(blocks(section, "js")[-1])
    address = await website.page("recipe", INGEST=edge.url, WRITE_KEY=edge.write_key)
    chrome = (await (await chromium.new_page()).evaluate("navigator.userAgent")).replace("Headless", "")
    context = await chromium.new_context(user_agent=chrome)
    await context.add_init_script(HIDE)
    try:
        await (await context.new_page()).goto(address)
        touchpoints = await edge.wait_for(lambda t: t.user_id == user and t.call != "identify")
    finally:
        await context.close()
    assert all(not t.warnings for t in touchpoints)
