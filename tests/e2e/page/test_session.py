"""How the page is opened."""

from playwright.async_api import Browser, Page, expect

from tests.e2e.page.conftest import link_to
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import revoke_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


async def test_a_link_opens_the_page_once_for_all_tabs(
    browser: Browser, server: Service, stack: Stack, rows: Rows
) -> None:
    await rows.count(1, 3)
    link = await link_to(server, stack)
    urls: list[str] = []
    person = await browser.new_context(locale="en-GB")
    page = await person.new_page()
    page.on("request", lambda request: urls.append(request.url))
    await page.goto(link)
    await expect(page.locator("#customers")).to_have_text("3")
    code = link.rpartition("/")[2]
    assert code not in page.url
    assert not [url for url in urls if code in url.partition("#")[0]]
    assert await page.evaluate("[document.cookie, localStorage.length, sessionStorage.length]") == ["", 0, 0]
    assert await page.evaluate("history.length") <= 2
    await page.reload()
    await expect(page.locator("#customers")).to_have_text("3")
    tab = await person.new_page()
    await tab.goto(server.url)
    await expect(tab.locator("#customers")).to_have_text("3")
    await tab.goto(link)  # used, but this browser has a session
    await expect(tab.locator("#customers")).to_have_text("3")
    await person.close()

    stranger = await browser.new_page()
    await stranger.goto(link)
    await expect(stranger.locator("#ask-error")).to_contain_text("used before or has expired")
    await expect(stranger.locator("#frame")).to_be_hidden()
    await stranger.goto(await link_to(server, stack))  # in the same tab: only what follows # changes
    await expect(stranger.locator("#customers")).to_have_text("3")
    await stranger.close()


async def test_without_a_token_it_asks(page: Page, server: Service, stack: Stack, rows: Rows) -> None:
    await rows.count(1, 3)
    await page.goto(server.url)
    await expect(page.get_by_role("heading", name="Open a workspace")).to_be_visible()
    await expect(page.locator("#frame")).to_be_hidden()
    await page.get_by_label("Token", exact=True).fill("tlr_wrong")
    await page.get_by_role("button", name="Open").click()
    await expect(page.locator("#ask-error")).to_contain_text("unknown or was revoked")
    await page.get_by_label("Token", exact=True).fill(stack.read_token)
    await page.get_by_role("button", name="Open").click()
    await expect(page.locator("#customers")).to_have_text("3")
    await page.reload()
    await expect(page.locator("#customers")).to_have_text("3")
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        await revoke_read_token(connection, stack.read_token, now_us=now_us())
    await engine.dispose()
    await expect(page.locator("#ask-error")).to_contain_text("unknown or was revoked", timeout=20_000)
