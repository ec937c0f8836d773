"""What the page says of its connection, and that it needs no other."""

import re

from playwright.async_api import Page, expect

from tests.e2e.page.conftest import enter
from tests.support.rows import SECOND_US, Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us


async def test_a_lost_connection_is_said_and_found_again(page: Page, stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")  # for this test to stop
    await enter(page, service, stack)
    await rows.count(1, 3)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("3")
    await service.child.stop()
    await expect(page.locator("#lost")).to_be_visible(timeout=20_000)
    await expect(page.locator("#status")).to_have_text("Connection lost")
    await rows.count(1, 1)
    await service.child.start()
    await service.ready()
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.locator("#customers")).to_have_text("4", timeout=20_000)
    await expect(page.locator("#lost")).to_be_hidden()


async def test_counts_that_stand_still_are_said_to_be_behind(page: Page, service: Service, rows: Rows) -> None:
    await rows.through(now_us() - 3600 * SECOND_US)
    await page.goto(service.url)
    await expect(page.locator("#status")).to_have_text(re.compile(r"^(1 h|59 min .*) behind$"))


async def test_it_loads_nothing_from_elsewhere(page: Page, service: Service, rows: Rows) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    response = await page.goto(service.url)
    assert response is not None
    assert "default-src 'none'" in response.headers["content-security-policy"]
    await expect(page.locator("#status")).to_have_text("Live")
    assert [url for url in requests if not url.startswith(service.url)] == []
