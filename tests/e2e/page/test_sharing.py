"""A shared link, in a browser that has no session: its view, and nothing else."""

import dataclasses
from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.e2e.page.conftest import shop_of
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us
from throughline.store.access.modes import Scope
from throughline.store.access.read_tokens import create_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

PATIENCE_MS = 30_000


@pytest.fixture(scope="module")
async def shop(module_stack: Stack) -> Stack:
    """A workspace with a few customers, and as its token one that shares."""
    stack = await shop_of(module_stack, "sharing", 60)
    async with Rows(stack.database, stack.workspace_id) as rows:
        await rows.count(1, 60, at_us=now_us())
    engine = create_engine(stack.database)
    async with transaction(engine) as transacting:
        token = await create_read_token(transacting, stack.workspace, "desk", scope=Scope.EDIT, now_us=now_us())
    await engine.dispose()
    return dataclasses.replace(stack, read_token=token)


@pytest.fixture
async def editor(page: Page, server: Service, shop: Stack) -> Page:
    """The page of somebody who shares, with a funnel."""
    headers = {"Authorization": f"Bearer {shop.read_token}"}
    assert (await page.request.post(f"{server.url}/v1/session", headers=headers)).status == 204
    await page.goto(f"{server.url}/#/funnel?span=90d")
    await expect_funnel(page)
    return page


@pytest.fixture
async def guest(browser: Browser) -> AsyncIterator[Page]:
    """A page of somebody else."""
    context = await browser.new_context(locale="en-GB")
    yield await context.new_page()
    await context.close()


async def expect_funnel(page: Page) -> None:
    await expect(page.get_by_role("heading", name="Funnel", exact=True)).to_be_visible(timeout=PATIENCE_MS)
    await expect(sentence(page)).to_be_visible(timeout=PATIENCE_MS)
    await expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)


def sentence(page: Page) -> Locator:
    """What the first figure says."""
    return page.locator("#place figure .sentence").first


async def test_a_view_is_shared_and_revoked(editor: Page, guest: Page, server: Service) -> None:
    await editor.get_by_role("button", name="Share").click()
    await editor.get_by_role("button", name="Make a link").click()
    address = await editor.get_by_label("The link").input_value(timeout=PATIENCE_MS)
    assert "/#/shared/tlv_" in address

    await guest.goto(address)
    await expect_funnel(guest)
    assert await sentence(guest).inner_text() == await sentence(editor).inner_text()
    await expect(guest.get_by_text("shared with you until")).to_be_visible()
    for role in ("navigation", "combobox"):
        await expect(guest.get_by_role(role).filter(visible=True)).to_have_count(0)
    await expect(guest.get_by_text("shared link")).to_have_count(0)  # no question was refused
    await guest.reload()
    await expect_funnel(guest)
    await guest.goto(f"{server.url}/#/customers")
    await expect(guest.get_by_label("Token", exact=True)).to_be_visible(timeout=PATIENCE_MS)

    await editor.get_by_role("button", name="Revoke").click()
    await expect(editor.get_by_text("None is open.")).to_be_visible(timeout=PATIENCE_MS)
    await editor.keyboard.press("Escape")
    await expect(editor.get_by_role("button", name="Share")).to_be_focused()


async def made_link(editor: Page, server: Service, view: str) -> str:
    """The address of a link to a view, all of which has come."""
    await editor.goto(f"{server.url}/#/{view}?span=90d")
    await expect(editor.locator(f"#place .view-{view} > *").first).to_be_visible(timeout=PATIENCE_MS)
    await expect(editor.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)
    if view == "now":
        await expect(editor.locator("#came")).to_have_text("60", timeout=PATIENCE_MS)
        await expect(editor.locator("[data-phase=decision] [data-label='Go on in 30 d'] a")).to_be_visible()
    await editor.get_by_role("button", name="Share").click()
    await editor.get_by_role("button", name="Make a link").click()
    return await editor.get_by_label("The link").input_value(timeout=PATIENCE_MS)


@pytest.mark.parametrize("view", ["now", "channels", "voices"])
async def test_each_view_of_numbers_is_shared_whole(editor: Page, guest: Page, server: Service, view: str) -> None:
    refused: list[str] = []
    guest.on("response", lambda response: refused.append(response.url) if response.status >= 400 else None)
    address = await made_link(editor, server, view)
    await editor.keyboard.press("Escape")
    await guest.goto(address)
    if view == "now":
        for number in ("customers", "came", "unplaced"):
            shown = await editor.locator(f"#{number}").inner_text()
            await expect(guest.locator(f"#{number}")).to_have_text(shown, timeout=PATIENCE_MS)
        shown = await editor.locator("[data-phase=decision] [data-label='Go on in 30 d']").inner_text()
        await expect(guest.locator("[data-phase=decision] [data-label='Go on in 30 d']")).to_have_text(shown)
        await expect(guest.get_by_text("Lapse soon")).to_have_count(0)  # it names customers
    else:
        shown = await editor.locator("#place section h2").first.inner_text()
        await expect(guest.locator("#place section h2").first).to_have_text(shown, timeout=PATIENCE_MS)
        await expect(guest.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)
    await expect(guest.get_by_role("alert").filter(visible=True)).to_have_count(0)
    assert refused == []
