"""A shared link, in a browser that has no session: its view, and nothing else."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, Page, expect

from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us
from throughline.store.access.modes import Scope
from throughline.store.access.read_tokens import create_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


@pytest.fixture
async def editor(page: Page, server: Service, stack: Stack) -> Page:
    """The page with the session of a token that shares."""
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        token = await create_read_token(connection, stack.workspace, "desk", scope=Scope.EDIT, now_us=now_us())
    await engine.dispose()
    opened = await page.request.post(f"{server.url}/v1/session", headers={"Authorization": f"Bearer {token}"})
    assert opened.status == 204
    return page


@pytest.fixture
async def guest(browser: Browser) -> AsyncIterator[Page]:
    """A page of somebody else."""
    context = await browser.new_context()
    yield await context.new_page()
    await context.close()


async def test_a_view_is_shared_and_revoked(editor: Page, guest: Page, server: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1), (60, 2)])
    await editor.goto(f"{server.url}/#/funnel?span=7d")
    await expect(editor.get_by_role("heading", name="Funnel", exact=True)).to_be_visible()
    await expect(editor.locator("#place figure").first).to_be_visible()
    await editor.get_by_role("button", name="Share").click()
    await editor.get_by_role("button", name="Make a link").click()
    address = await editor.get_by_label("The link").input_value()
    assert "/#/shared/tlv_" in address

    await guest.goto(address)
    await expect(guest.get_by_role("heading", name="Funnel", exact=True)).to_be_visible()
    await expect(guest.locator("#place figure").first).to_be_visible()
    await expect(guest.get_by_text("shared with you until")).to_be_visible()
    await expect(guest.get_by_role("searchbox")).to_have_count(0)
    await expect(guest.get_by_role("navigation")).to_have_count(0)
    await expect(guest.get_by_role("alert").filter(has_text="shared link")).to_have_count(0)
    await guest.reload()
    await expect(guest.locator("#place figure").first).to_be_visible()
    await guest.goto(f"{server.url}/#/customers")
    await expect(guest.get_by_label("Token", exact=True)).to_be_visible()

    await editor.get_by_role("button", name="Revoke").click()
    await expect(editor.get_by_text("None is open.")).to_be_visible()
    await editor.keyboard.press("Escape")
    await expect(editor.get_by_role("button", name="Share")).to_be_focused()


async def test_what_is_annotated_stands_on_the_time_axis(editor: Page, server: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1), (60, 2)])
    await editor.goto(f"{server.url}/#/funnel?span=7d")
    await editor.get_by_role("button", name="Annotate").click()
    await expect(editor.get_by_text("None in this span.")).to_be_visible()
    await editor.get_by_label("Text", exact=True).fill("New <b>checkout</b>")
    await editor.get_by_label("Kind").select_option("release")
    await editor.get_by_role("button", name="Add").click()
    await expect(editor.get_by_role("listitem").filter(has_text="New <b>checkout</b>")).to_be_visible()
    await editor.get_by_role("button", name="Delete New <b>checkout</b>").click()
    await expect(editor.get_by_text("None in this span.")).to_be_visible()
