"""Funnel, flows and abandonment in a real browser: the figures are the api's, and each leads to those it counts."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Locator, Page, Route, expect

from tests.e2e.page.conftest import enter, shop_of
from tests.support.stack import Service, Stack

Faults = Callable[[Page], Awaitable[list[str]]]
CUSTOMERS = 700
SPAN = "90d"
PATIENCE_MS = 30_000
"""For what is asked of the facts themselves, on a busy machine."""
OUTCOMES = ("reached", "entered", "still", "lapsed", "ended")
"""The columns of the table of steps."""


@pytest.fixture(scope="module")
async def quarter(module_stack: Stack) -> Stack:
    """A workspace with a quarter of a shop, which no test changes."""
    return await shop_of(module_stack, "quarter", CUSTOMERS)


@pytest.fixture
async def shop(page: Page, server: Service, quarter: Stack) -> str:
    """The address of the page, in which the shop is open."""
    await enter(page, server, quarter)
    return server.url


@pytest.fixture
async def api(server: Service, quarter: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with quarter.api(server) as client:
        yield client


def figure_of(page: Page, title: str | re.Pattern[str]) -> Locator:
    return page.get_by_role("figure", name=title)


async def show(page: Page, url: str, address: str) -> None:
    """Open a view, and wait until all of it has come."""
    await page.goto("about:blank")  # else the view before stands there until the address is read
    await page.goto(f"{url}/#/{address}")
    await expect(page.locator("#place figure").first).to_be_visible()
    await expect(page.locator("[aria-busy=true]")).to_have_count(0, timeout=PATIENCE_MS)


async def table_of(page: Page, title: str | re.Pattern[str]) -> list[list[str]]:
    """The cells of a figure's table, which is shown."""
    figure = figure_of(page, title)
    button = figure.get_by_role("button", name="Table")
    if await button.count():
        await button.click()
    rows = figure.locator("tbody tr")
    return [await row.locator("th, td").all_inner_texts() for row in await rows.all()]


async def answer(api: httpx.AsyncClient, page: Page, path: str) -> Any:
    """What the api answers to the question that the page has asked at `path`."""
    requests = await page.evaluate("performance.getEntriesByType('resource').map(({ name }) => name)")
    url = next(url for url in reversed(requests) if f"{path}?" in url)
    return (await api.get(f"{path}?{url.partition('?')[2]}")).json()


def number(text: str) -> int:
    return int(text.replace(",", ""))


async def test_a_funnel_shows_the_figures_of_the_api(page: Page, shop: str, api: httpx.AsyncClient) -> None:
    await show(page, shop, f"funnel?span={SPAN}&window=7d&by=channel&compare=previous")
    shown = await answer(api, page, "/v1/funnel")
    rows = await table_of(page, "Steps")
    assert [number(rows[0][1]), number(rows[0][7])] == [shown["cohort"]["entered"], shown["cohort"]["mature"]]
    for row, step in zip(rows[1:], shown["steps"], strict=True):
        assert [number(cell) for cell in row[1:6]] == [step[name] for name in OUTCOMES]
        assert [number(cell) for cell in row[6:8]] == [step["within"]["reached"], step["within"]["mature"]]
        assert row[8] == f"{100 * step['within']['rate']['rate']:.1f}%"
        assert number(row[1]) + sum(map(number, row[3:6])) == shown["cohort"]["entered"]
    parts = await table_of(page, "By channel")
    assert {row[0]: number(row[1]) for row in parts} == {
        part["value"]: part["cohort"]["entered"] for part in shown["breakdown"]
    }
    trend = await table_of(page, "Trend")
    assert sum(number(row[1]) for row in trend) == shown["cohort"]["entered"]
    assert trend[0][-1] == "yes"
    assert trend[-1][-1] == "not yet"
    assert "not settled" in await figure_of(page, "Steps").locator(".sentence").inner_text()


async def test_each_number_leads_to_those_it_counts(page: Page, shop: str, api: httpx.AsyncClient) -> None:
    for address, title, row, column in (
        (f"funnel?span={SPAN}&window=7d", "Steps", 3, 1),
        (f"funnel?span={SPAN}&window=7d&by=device", "By device", 0, 1),
        (f"flows?span={SPAN}", "Flows", 4, 2),
        (f"flows?span={SPAN}&reading=paths", "Ways through the phases", 1, 2),
        (f"abandonment?span={SPAN}&by=device&phase=decision", "Who leaves Decision", 1, 3),
        (f"abandonment?span={SPAN}&phase=decision", "With which friction", 0, 2),
        (f"abandonment?span={SPAN}&phase=decision", "Which visits go on", 1, 2),
        (f"abandonment?span={SPAN}&phase=decision", "After what", 0, 1),
        ("channels?span=28d", "Orders by channel", 0, 4),
    ):
        await show(page, shop, address)
        cell = (await table_of(page, title))[row][column]
        link = figure_of(page, title).locator("tbody tr").nth(row).locator("th, td").nth(column).get_by_role("link")
        path, _, query = ((await link.get_attribute("href")) or "").removeprefix("#/").partition("?")
        items: list[Any] = []
        cursor = None
        while cursor or not items:
            page_of = f"&cursor={quote(cursor)}" if cursor else ""
            shown = (await api.get(f"/v1/{path}?{query}&limit=200{page_of}")).json()
            items += shown["items"]
            if (cursor := shown["next_cursor"]) is None:
                break
        assert len(items) == number(cell), address
        before = page.url
        await link.click()
        await expect(page.locator("#place tbody tr").first).to_be_visible()
        await page.go_back()
        await expect(figure_of(page, title).locator("tbody tr").nth(row).locator("th, td").nth(column)).to_have_text(
            cell
        )
        assert page.url == before


async def test_a_picture_is_read_and_opened_by_keyboard(page: Page, shop: str) -> None:
    await show(page, shop, f"funnel?span={SPAN}&window=7d")
    figure = figure_of(page, "Steps")
    marks = figure.locator("[data-mark]")
    await expect(figure.locator("[data-mark][tabindex='0']")).to_have_count(1)
    await marks.first.focus()
    await page.keyboard.press("ArrowRight")
    await page.keyboard.press("ArrowRight")
    focused = figure.locator("[data-mark]:focus")
    await expect(focused).to_have_attribute("aria-label", re.compile("^Consideration: reached in time"))
    await expect(figure.locator(".tip")).to_be_visible()
    await page.keyboard.press("t")
    await expect(figure.get_by_role("table")).to_be_visible()
    await expect(figure.get_by_role("button", name="Picture")).to_be_focused()
    await page.keyboard.press("t")
    await expect(figure.get_by_role("table")).to_be_hidden()
    await marks.nth(2).focus()
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/funnel/customers.*outcome=within"))
    await expect(page.locator("#place tbody tr").first).to_be_visible()
    await page.go_back()
    await expect(figure_of(page, "Steps")).to_be_visible()
    line = figure_of(page, "Trend").get_by_role("slider")
    await line.focus()
    await page.keyboard.press("Home")
    first = await line.get_attribute("aria-valuetext")
    await page.keyboard.press("ArrowRight")
    assert first != await line.get_attribute("aria-valuetext")
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("#/funnel/customers"))


async def test_the_address_is_the_question(page: Page, shop: str) -> None:
    await show(page, shop, f"funnel?span={SPAN}")
    await page.locator("#window").select_option("7d")
    await page.locator("#by").select_option("device")
    await expect(figure_of(page, "By device")).to_be_visible()
    assert "window=7d" in page.url
    assert "by=device" in page.url
    await page.reload()
    await expect(figure_of(page, "By device")).to_be_visible()
    await page.locator("#unit").select_option("customer")
    await expect(figure_of(page, "By device")).to_have_count(0)
    await expect(figure_of(page, "Steps")).to_contain_text("customers")
    await page.go_back()
    await expect(figure_of(page, "By device")).to_be_visible()
    await page.locator("#steps").click()
    await page.get_by_role("checkbox", name="Discovery").uncheck()
    await page.get_by_role("button", name="Show these").click()
    await expect(figure_of(page, "Steps").locator(".sentence")).to_contain_text("Consideration")
    assert "steps=consideration" in page.url


async def test_an_annotation_is_written_and_stands_on_the_axis(page: Page, shop: str, quarter: Stack) -> None:
    await show(page, shop, "funnel?window=7d")
    trend = figure_of(page, "Trend")
    await trend.get_by_text("Annotate a day").click()
    await trend.get_by_label("Text").fill("New checkout <b>")
    await trend.get_by_role("button", name="Annotate").click()
    await expect(trend.get_by_role("alert")).to_contain_text("this needs a token of the scope edit")
    headers = {"Authorization": f"Bearer {await quarter.admin_token()}"}
    assert (await page.request.post(f"{shop}/v1/session", headers=headers)).status == 204
    await trend.get_by_role("button", name="Annotate").click()
    written = trend.get_by_role("list", name="Annotations")
    await expect(written).to_contain_text("release New checkout <b>")
    await expect(trend.locator("canvas")).to_have_count(1)
    await written.get_by_role("button", name="Edit").click()
    await trend.get_by_label("Text").fill("Old checkout again")
    await trend.get_by_label("What").select_option("Incident")
    await trend.get_by_role("button", name="Save").click()
    await expect(written).to_contain_text("incident Old checkout again")
    await written.get_by_role("button", name="Delete").click()
    await written.get_by_role("button", name="Delete for good").click()
    await expect(written).to_have_count(0)
    await expect(trend.get_by_text("Annotate a day")).to_be_focused()


async def test_flows_add_up_and_are_a_table_where_it_is_narrow(page: Page, shop: str, api: httpx.AsyncClient) -> None:
    await show(page, shop, f"flows?span={SPAN}")
    shown = await answer(api, page, "/v1/flows")
    names = (
        await figure_of(page, "Flows")
        .locator("[data-mark]")
        .evaluate_all("marks => marks.map((mark) => mark.getAttribute('aria-label'))")
    )
    discovery = next(node for node in shown["nodes"] if node["id"] == "1/discovery")
    assert any(f"{discovery['in']:,} in" in name and f"{discovery['closing']:,} at the end" in name for name in names)
    rows = await table_of(page, "Flows")
    assert [number(row[2]) for row in rows] == [edge["moves"] for edge in shown["edges"]]
    nodes = await table_of(page, "What became of each phase")
    assert all(number(row[1]) + number(row[2]) == number(row[3]) + number(row[4]) for row in nodes)
    await page.reload()
    await page.set_viewport_size({"width": 360, "height": 800})
    await expect(figure_of(page, "Flows").get_by_role("table")).to_be_visible()
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")


async def test_abandonment_names_what_failed_and_shows_no_chance_difference(
    page: Page, shop: str, api: httpx.AsyncClient
) -> None:
    await show(page, shop, f"abandonment?span={SPAN}&phase=decision&by=device")
    shown = await answer(api, page, "/v1/abandonment/visits")
    rows = await table_of(page, "Which visits go on")
    assert [(row[0], number(row[1]), number(row[2])) for row in rows[1:]] == [
        (part["value"], part["count"]["visits"], part["count"]["advanced"]) for part in shown["breakdown"]
    ]
    for row, part in zip(rows[1:], shown["breakdown"], strict=True):
        assert (row[5] == "no difference shown") is not part["count"]["baseline"]["shown"]
    friction = await table_of(page, "With which friction")
    assert friction[0][0] == "paymenterror"
    where = await table_of(page, "Where")
    for row in where:
        assert number(row[1]) == sum(map(number, row[2:6]))
    await page.locator("#phase").select_option("consideration")
    await expect(figure_of(page, "Who leaves Consideration")).to_be_visible()
    assert "phase=consideration" in page.url


async def test_channels_add_up_to_the_orders(page: Page, shop: str, api: httpx.AsyncClient) -> None:
    await show(page, shop, "channels?span=28d&rule=linear&beside=last")
    told = await answer(api, page, "/v1/attribution")
    rows = await table_of(page, "Orders by channel")
    assert [row[0] for row in rows] == [row["value"] for row in told["rows"]]
    assert sum(float(row[1].replace(",", "")) for row in rows) == pytest.approx(told["orders"], abs=0.05 * len(rows))
    gross = [float(row[5].removeprefix("€").replace(",", "")) for row in rows]
    assert sum(gross) == pytest.approx(told["totals"][0]["gross"] / 100)
    await page.locator("#rule").select_option("participation")
    await expect(figure_of(page, "Orders by channel")).to_contain_text("more than all orders")


async def test_what_cannot_be_drawn_says_why(page: Page, shop: str) -> None:
    for view in ("funnel", "flows", "abandonment", "channels"):
        await page.goto(f"{shop}/#/{view}?span=2026-01-01..2026-01-05")
        await expect(page.get_by_role("heading", name=re.compile("None in this span|Nothing yet"))).to_be_visible()
    await page.goto(f"{shop}/#/funnel?span=2020-01-01..2020-01-05")
    await expect(page.get_by_role("heading", name="Nothing yet")).to_be_visible()
    await page.goto(f"{shop}/#/funnel?span=28d&window=365d")
    await expect(page.get_by_text("too few to say").first).to_be_attached()


async def test_axe_finds_nothing_in_tables(page: Page, shop: str, faults_of: Faults) -> None:
    for address in (
        "funnel?window=7d&by=channel&compare=previous",
        "flows?of=kinds&reading=paths",
        f"abandonment?span={SPAN}&phase=decision&by=device&baseline=previous",
    ):
        await show(page, shop, address)
        await page.keyboard.press("t")
        await expect(page.get_by_role("button", name="Picture").first).to_be_visible()
        assert await faults_of(page) == [], address
        await page.keyboard.press("t")


async def test_a_part_that_fails_says_so_in_its_place(page: Page, shop: str) -> None:
    async def refuse(route: Route) -> None:
        await route.fulfill(status=404, json={"code": "broken", "message": "the friction is out"})

    await page.route("**/v1/abandonment/friction*", refuse)
    await show(page, shop, f"abandonment?span={SPAN}&phase=decision")
    await expect(page.get_by_text("the friction is out")).to_be_visible()
    await expect(figure_of(page, "Where")).to_be_visible()
    await page.unroute("**/v1/abandonment/friction*")
    await page.get_by_role("button", name="Try again").click()
    await expect(figure_of(page, "With which friction")).to_be_visible()
