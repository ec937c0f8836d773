"""How every view looks: to axe in both themes, on a narrow screen, printed, in forced colours, while numbers change."""

import json
from collections.abc import Awaitable, Callable

import asyncpg
import pytest
from playwright.async_api import Page, expect

from tests.e2e.page.conftest import HOSTILE, now_in
from tests.support.folded import write_folded
from tests.support.quarter import customers
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us

Faults = Callable[[Page], Awaitable[list[str]]]
ALL = "import('/shell/views.js').then(({ views }) => views.map(({ name }) => name))"
WIDE = "document.documentElement.scrollWidth - innerWidth"


@pytest.fixture
async def shop(page: Page, service: Service, stack: Stack, rows: Rows) -> Page:
    """The page of a shop in which every view has something to show."""
    now = now_us()
    connection = await asyncpg.connect(stack.database)
    await write_folded(
        connection,
        customers(300, rows.workspace, rows.source, now),
        workspace=rows.workspace,
        model=rows.model,
        topic=rows.topic,
        now_us=now,
    )
    await connection.close()
    for phase in range(1, 8):
        await rows.count(phase, 40 * phase, lapsed=7, left=9, at_us=now)
    await rows.unmapped("Signed Upp", 1200)
    await rows.recent("m1", now, warnings="illegal_id,tomorrow", actor=HOSTILE)
    await rows.refused("m2", now)
    return page


async def addresses(page: Page, service: Service) -> list[str]:
    """Addresses of all views."""
    await page.goto(service.url)
    await expect(page.locator("#title")).to_have_text("Now")
    names: list[str] = await page.evaluate(ALL)
    special = {
        "customer": "customer/customer-00007",
        "funnel/customers": "funnel/customers?steps=discovery%2Cdecision&outcome=lapsed",
        "abandonment/customers": "abandonment/customers?phase=decision",
        "abandonment/last/list": "abandonment/last/list?phase=decision",
        "abandonment/visits/list": "abandonment/visits/list?kind=checkout&next=order",
        "abandonment/friction/list": "abandonment/friction/list?phase=decision",
    }
    return [f"{service.url}/#/{special.get(name, name)}" for name in names] + [
        f"{service.url}/#/customers?min_orders=99",
        f"{service.url}/#/now?colour=red",
    ]


async def settled(page: Page, address: str) -> None:
    """Go to a view, and wait until all of it has come."""
    await page.goto(address)
    await expect(page.locator("#place > *")).not_to_have_count(0)
    await expect(page.locator('#place [aria-busy="true"], #place[aria-busy="true"], #place .skeleton')).to_have_count(0)


async def test_axe_finds_nothing_in_any_view(shop: Page, service: Service, faults_of: Faults) -> None:
    faults_by_view: dict[str, list[str]] = {}
    for address in await addresses(shop, service):
        await settled(shop, address)
        for scheme in ("light", "dark"):
            await shop.emulate_media(color_scheme="dark" if scheme == "dark" else "light", reduced_motion="reduce")
            if faults := await faults_of(shop):
                faults_by_view[f"{address} {scheme}"] = faults
    assert not faults_by_view, json.dumps(faults_by_view, indent=1)


async def test_every_view_fits_a_narrow_screen_and_paper(shop: Page, service: Service) -> None:
    all_ = await addresses(shop, service)
    await shop.set_viewport_size({"width": 360, "height": 800})  # as 720 pixels at 200 %
    for address in all_:
        await settled(shop, address)
        assert await shop.evaluate(WIDE) <= 0, address
    await shop.emulate_media(media="print", forced_colors="active")
    await settled(shop, all_[0])
    await expect(shop.locator(".side")).to_be_hidden()
    await expect(shop.locator(now_in("purchase"))).to_be_visible()


async def test_the_console_has_no_complaint_and_every_view_its_title(shop: Page, service: Service) -> None:
    titles: set[str] = set()
    for address in await addresses(shop, service):
        await settled(shop, address)
        assert await shop.locator("h1").count() == 2  # the other one asks for a token, and is hidden
        titles.add(await shop.title())
    assert len(titles) > 7


async def test_numbers_can_be_read_while_they_flash_and_when_the_connection_is_lost(
    page: Page, service: Service, rows: Rows, faults_of: Faults
) -> None:
    await rows.count(1, 3)
    # Held at its first moment, where the colour is strongest.
    hold = """() => {
        for (const each of document.querySelectorAll("#place a, #place .now, #place td, #place dd")) {
            each.classList.add("changed");
            for (const animation of each.getAnimations()) { animation.pause(); animation.currentTime = 0; }
        }
        document.body.dataset.state = "lost";
    }"""
    for scheme in ("light", "dark"):
        await page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        await page.goto(f"{service.url}/?{scheme}")
        await expect(page.locator("#customers")).to_have_text("3")
        await page.evaluate(hold)
        assert await faults_of(page) == []
