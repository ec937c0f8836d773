"""What the page says of its connection, and that it needs no other."""

import os
import re
import signal

from playwright.async_api import Page, Route, expect

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
    await expect(page.locator("#status-text")).to_have_text("Connection lost")
    await rows.count(1, 1)
    await service.child.start()
    await service.ready()
    await page.get_by_role("button", name="Retry now").click()
    await expect(page.locator("#customers")).to_have_text("4", timeout=20_000)
    await expect(page.locator("#lost")).to_be_hidden()


async def test_counts_that_stand_still_are_said_to_be_behind(page: Page, service: Service, rows: Rows) -> None:
    await rows.through(now_us() - 3600 * SECOND_US)
    await page.goto(service.url)
    await expect(page.locator("#status-text")).to_have_text(re.compile(r"^(1 h|59 min .*) behind$"))


async def test_it_loads_nothing_from_elsewhere(page: Page, service: Service, rows: Rows) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    response = await page.goto(service.url)
    assert response is not None
    assert "default-src 'none'" in response.headers["content-security-policy"]
    await expect(page.locator("#status-text")).to_have_text("Live")
    assert [url for url in requests if not url.startswith(service.url)] == []


async def test_an_api_that_stands_still_is_said_to(page: Page, stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")  # for this test to stop
    await enter(page, service, stack)
    await rows.count(1, 3)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("3")
    os.killpg(service.child.pid, signal.SIGSTOP)
    try:
        await expect(page.locator("#lost")).to_contain_text("The service has not answered since")
        await expect(page.locator("#status-text")).to_have_text("No answer")
    finally:
        os.killpg(service.child.pid, signal.SIGCONT)
    await expect(page.locator("#lost")).to_be_hidden()
    await expect(page.locator("#status-text")).to_have_text("Live")


async def test_an_error_has_its_message_and_a_retry(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1)])
    await rows.count(1, 1)
    problem = '{"code": "too_slow", "message": "the question took more than 10 s: ask for a shorter span"}'

    async def refuse(route: Route) -> None:
        await route.fulfill(status=503, content_type="application/problem+json", body=problem)

    await page.route("**/v1/customers?*", refuse)
    await page.goto(f"{service.url}/#/customers")
    alert = page.get_by_role("alert").filter(has_text="the question took more than 10 s")
    await expect(alert).to_be_visible()
    await page.unroute("**/v1/customers?*")
    await page.get_by_role("button", name="Try again").click()
    await expect(page.locator("tbody tr")).to_have_count(1)
    await expect(alert).to_have_count(0)
