"""The page in a real browser, over a real api and database."""

import itertools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from tests.support.stack import Service, Stack, until
from throughline.journey.durations import HOUR_US
from throughline.kit.clock import now_us
from throughline.store.access.page_sessions import create_page_code, page_link
from throughline.store.access.read_tokens import revoke_read_token
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

HOSTILE = "<img src=x onerror=\"document.title='owned'\">/../%2F?&#\u202eü"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="module")
async def browser() -> AsyncIterator[Browser]:
    executable = shutil.which("chromium") or "/usr/bin/chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture
async def stack(database: str, tmp_path: Path) -> AsyncIterator[Stack]:
    stack = Stack("127.0.0.1:1", database, "touchpoints", "touchpoints.rejected", tmp_path)
    await stack.provision()
    yield stack
    await stack.stop()


@pytest.fixture
async def rows(stack: Stack) -> AsyncIterator[Rows]:
    async with Rows(stack.database, stack.workspace_id) as rows:
        await rows.through(now_us())
        yield rows


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page on which the browser may complain about nothing: no script error, no breach of the content policy."""
    page = await browser.new_page(locale="en-GB", timezone_id="UTC")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    # A refused token or an unknown customer is an error to the browser's console; anything else is one to us.
    assert [text for text in complaints if "401" not in text and "404" not in text and "ERR_" not in text] == []
    await page.close()


@pytest.fixture
async def service(stack: Stack, page: Page) -> Service:
    """The api, in which the page has a session."""
    service = await stack.start("api")
    headers = {"Authorization": f"Bearer {stack.read_token}"}
    assert (await page.request.post(f"{service.url}/v1/session", headers=headers)).status == 204
    return service


async def link_to(service: Service, stack: Stack) -> str:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        code = await create_page_code(connection, stack.read_token, now_us=now_us())
    await engine.dispose()
    return page_link(service.url, code.code)


def now_in(phase: str) -> str:
    return f'tr[data-phase="{phase}"] .now'


async def test_counts_are_live(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1200, lapsed=34, left=50)
    await rows.count(0, 7, entered=0)
    await page.goto(service.url)
    await expect(page.locator(now_in("discovery"))).to_have_text("1,234")
    row = page.locator('tr[data-phase="discovery"] td.number')
    await expect(row).to_have_text(["1,200", "34", "1,284", "50"])
    await expect(page.locator("#customers")).to_have_text("1,234")
    await expect(page.locator("#unplaced")).to_have_text("7")
    await expect(page.locator("#status")).to_have_text("Live")
    await expect(page.locator("#empty")).to_be_hidden()
    await rows.count(4, 66)
    await expect(page.locator(now_in("purchase"))).to_have_text("66")
    await expect(page.locator("#customers")).to_have_text("1,300")
    headers = page.get_by_role("columnheader")
    await expect(headers).to_have_text(
        [re.compile(name) for name in ("Phase", "Now", "Active", "Lapsed", "Entered", "Left")]
    )


async def test_filters(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 10, channel="email")
    await rows.count(1, 5)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("15")
    await page.get_by_label("Channel").select_option("email")
    await expect(page.locator("#customers")).to_have_text("10")
    await page.get_by_label("Source").select_option("web")
    await rows.count(1, 1, channel="email")
    await expect(page.locator("#customers")).to_have_text("11")
    await page.get_by_label("Channel").select_option("")
    await expect(page.locator("#customers")).to_have_text("16")


async def test_another_model_is_a_choice_away(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(4, 10)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("10")
    await expect(page.get_by_label("Model")).to_be_hidden()  # there is one
    rows.model = await rows.live("five_stage")
    await rows.count(2, 3)
    await page.reload()
    await page.get_by_label("Model").select_option("five_stage")
    await expect(page.locator("#phases tr")).to_have_count(5)
    await expect(page.locator("#customers")).to_have_text("3")
    await rows.count(2, 1)
    await expect(page.locator("#customers")).to_have_text("4")
    second = page.locator("#phases tr").nth(1).get_by_role("link")
    await second.click()
    await expect(page.locator("#detail h2")).to_have_text(await second.inner_text())
    await page.get_by_label("Model").select_option("seven_phase")
    await expect(page.locator("#phases tr")).to_have_count(7)
    await expect(page.locator("#customers")).to_have_text("10")


async def test_an_empty_workspace_shows_how_to_start(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(service.url)
    await expect(page.locator("#empty")).to_be_visible()
    await expect(page.locator("#first-event")).to_contain_text("curl -u WRITE_KEY: http://127.0.0.1:8081/v1/track")
    await rows.count(1, 1)
    await expect(page.locator("#empty")).to_be_hidden()


async def test_from_a_phase_to_a_customer_and_back(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(2, 60)
    for number in range(60):
        await rows.customer(f"c{number}", [(0, 2)])
    await page.goto(service.url)
    await page.get_by_role("link", name="Consideration").press("Enter")
    await expect(page.locator(".customers li")).to_have_count(50)
    await page.get_by_role("button", name="Load more").click()
    await expect(page.locator(".customers li")).to_have_count(60)
    await expect(page.get_by_role("button", name="Load more")).to_be_hidden()
    await page.get_by_role("link", name="c33", exact=True).click()
    await expect(page.locator(".detail h2").first).to_have_text("c33")
    await page.go_back()
    await expect(page.locator(".detail h2").first).to_have_text("Consideration")
    await page.get_by_label("Close").click()
    await expect(page.locator(".detail .card")).to_have_count(0)


async def test_a_journey(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1), (3600, 2), (90000, 4)], touchpoints=70)
    at_us = AT_US + 90000 * SECOND_US
    await rows.touchpoint("user-1", "o", at_us, name="Order Completed", order_id="1042", value=59.9, currency="EUR")
    await page.goto(service.url)
    await page.get_by_label("Customer id").fill("user-1")
    await page.get_by_role("button", name="Find").click()
    timeline = page.locator(".timeline li")
    await expect(timeline.locator("strong")).to_have_text(["Purchase", "Consideration", "Discovery"])
    await expect(timeline.locator(".spent")).to_have_text([re.compile(r"d .*so far$"), "1 d", "1 h"])
    await expect(timeline.last.locator(".cause")).to_contain_text("Product Viewed by rule “product_viewed”")
    touchpoints = page.locator(".touchpoints li")
    await expect(touchpoints).to_have_count(50)
    await expect(touchpoints.first).to_contain_text("order id 1042")
    await page.get_by_role("button", name="Load more").click()
    await expect(touchpoints).to_have_count(71)
    await touchpoints.nth(1).get_by_text("As sent").click()
    await expect(touchpoints.nth(1).locator("pre")).to_contain_text('"color": "green"')
    await page.get_by_label("Customer id").fill("nobody")
    await page.get_by_label("Customer id").press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="no touchpoint of this customer")).to_be_visible()


async def test_a_journey_with_lapses(page: Page, service: Service, rows: Rows) -> None:
    day_s = 86_400
    moves = [(0, 1), (100, 4), (20 * day_s, CHURN), (30 * day_s, 2), (40 * day_s, ABANDON)]
    await rows.customer("user-1", moves)
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline li")
    await expect(timeline.locator("strong")).to_have_text(["Consideration", "Purchase", "Discovery"])
    await expect(timeline.first.locator(".cause")).to_contain_text("cycle 2")


async def test_a_long_journey_comes_in_pages(page: Page, service: Service, rows: Rows) -> None:
    day_s = 86_400
    await rows.customer("user-1", [(n * 40 * day_s // 2, ABANDON if n % 2 else 2) for n in range(121)])
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline li")
    spread = page.locator(".spread span")
    await expect(timeline).to_have_count(25)
    await expect(timeline.first.locator(".cause")).to_contain_text("cycle 61")
    earlier = page.get_by_role("button", name="Earlier phases")
    for shown in (50, 61):
        await earlier.click()
        await expect(timeline).to_have_count(shown)
        await expect(spread).to_have_count(shown)
    await expect(earlier).to_be_hidden()
    await expect(timeline.last.locator(".cause")).not_to_contain_text("cycle")


async def test_the_filter_has_all_channels_however_many_pages(page: Page, service: Service, rows: Rows) -> None:
    for number in range(205):
        await rows.count(1, 1, channel=f"own-{number:03}")
    await page.goto(service.url)
    await expect(page.get_by_label("Channel").locator("option")).to_have_count(206)


async def test_a_hostile_id_stays_text(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1, channel=HOSTILE)
    await rows.customer(HOSTILE, [(0, 1)], channel=HOSTILE)
    await rows.touchpoint(HOSTILE, "m", AT_US, name=HOSTILE, order_id=HOSTILE, channel=HOSTILE)
    await page.goto(service.url)
    await page.get_by_role("link", name="Discovery").click()
    await page.locator(".customers a").click()
    await expect(page.locator(".detail h2").first).to_have_text(HOSTILE)
    await expect(page.locator(".touchpoints strong")).to_have_text(HOSTILE)
    await page.get_by_label("Channel").select_option(HOSTILE)
    await expect(page.locator("#customers")).to_have_text("1")
    await page.reload()
    await expect(page.locator(".detail h2").first).to_have_text(HOSTILE)
    assert await page.locator("main img").count() == 0
    assert await page.title() == "Throughline"


async def test_events_are_shown_as_they_come_with_what_became_of_them(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(f"{service.url}/#/events/web")
    panel = page.locator("#detail")
    await expect(panel.get_by_text("Nothing has come yet")).to_be_visible()
    await expect(panel.locator("pre")).to_contain_text("curl -u WRITE_KEY: http://127.0.0.1:8081/v1/track")
    await rows.customer(HOSTILE, [(0, 1)])
    await rows.recent("m1", AT_US, actor=HOSTILE, name=HOSTILE, channel=HOSTILE)
    await rows.recent("m2", AT_US + 1, warnings="illegal_id,tomorrow")
    events = panel.locator(".events li")
    await expect(events.locator(".verdict")).to_have_text(["Warning", "OK"])
    await expect(events.first).to_contain_text("An id was a placeholder")
    await expect(events.first.locator(".why code")).to_have_text(["illegal_id", "tomorrow"])
    await rows.refused("m3", AT_US + 2, name=HOSTILE, message=HOSTILE, payload=HOSTILE.encode())
    await expect(events.locator(".verdict")).to_have_text(["Rejected", "Warning", "OK"])
    await events.first.locator("summary").press("Enter")
    await expect(events.first.locator("pre")).to_have_text(HOSTILE)
    await expect(events.first.locator("dd").first).to_have_text("event")
    await page.set_viewport_size({"width": 360, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await panel.get_by_label("Show").select_option("rejected")
    await expect(events).to_have_count(1)
    await panel.get_by_label("Show").select_option("dropped")
    await expect(panel.get_by_text("only the number is kept")).to_be_visible()
    await rows.execute(
        "insert into rejected_counts values ($1, $2, $3, 'consent', 'no_consent', 'Ad Clicked', 0, 7, 0)",
        rows.workspace,
        now_us() // HOUR_US * HOUR_US,
        rows.source,
    )
    await expect(panel.get_by_text("dropped for want of consent 7 (7 Ad Clicked)")).to_be_visible()
    await panel.get_by_label("Show").select_option("")
    await expect(events.last.locator("strong")).to_have_text(HOSTILE)
    await events.last.get_by_role("link").click()
    await expect(page.locator(".detail h2").first).to_have_text(HOSTILE)
    await page.go_back()
    await expect(panel.get_by_role("heading", name="Live events")).to_be_visible()
    assert await page.locator("main img").count() == 0
    assert await page.title() == "Throughline"


async def test_names_and_refunds_that_mean_nothing_are_listed(page: Page, service: Service, rows: Rows) -> None:
    await page.goto(f"{service.url}/#/events/web")
    panel = page.locator("#detail")
    names = panel.locator("details", has_text="Names and refunds without a meaning")
    summary, lines = names.locator("summary"), names.locator("li")
    await summary.click()
    await expect(lines).to_have_text(["Every name has a meaning, and every refund its order."])
    await rows.unmapped("Signed Upp", 1200)
    await rows.unmapped(HOSTILE, 7)
    await rows.refunds(12, 3)
    await rows.refunds(0, 2, source=99)
    await summary.click()
    await expect(lines.first).to_be_hidden()
    await summary.press("Enter")
    await expect(lines).to_have_text(
        [
            "Signed Upp: 1,200 events; did you mean Signed Up?",
            f"{HOSTILE}: 7 events",
            "web: 12 refunds or cancellations of orders that their customer never placed",
            "web: 3 refunds in another currency than that of their order",
            "A source that is gone: 2 refunds in another currency than that of their order",
        ]
    )
    await page.set_viewport_size({"width": 360, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await page.locator("main img").count() == 0


async def test_nobody_asks_for_events_that_nobody_sees(page: Page, service: Service, rows: Rows) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url) if "/events/recent" in request.url else None)
    await page.goto(f"{service.url}/#/events/")
    panel = page.locator("#detail")
    await rows.recent("m1", AT_US)
    await expect(panel.locator(".events li")).to_have_count(1)

    customers = itertools.count(1)

    async def customers_come(number: int) -> None:
        for _ in range(number):  # counts are shown at most four times a second: five take longer than a poll
            await rows.count(1, 1)
            await expect(page.locator("#customers")).to_have_text(str(next(customers)))

    async def hide(hidden: str) -> None:
        await page.evaluate(f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }})")
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    await hide("true")
    await customers_come(1)  # whatever was on its way has come
    requests.clear()
    await customers_come(5)
    await rows.recent("m2", AT_US + 1)
    assert requests == []
    await hide("false")
    await expect(panel.locator(".events li")).to_have_count(2)
    await panel.get_by_role("button", name="Pause").click()
    await rows.recent("m3", AT_US + 2)
    await customers_come(5)
    await expect(panel.locator(".events li")).to_have_count(2)
    await panel.get_by_role("button", name="Go on").click()
    await expect(panel.locator(".events li")).to_have_count(3)
    await panel.get_by_label("Close").click()
    await expect(panel.locator(".card")).to_have_count(0)
    requests.clear()
    await customers_come(5)
    assert requests == []


async def test_a_link_opens_the_page_once_for_all_tabs(browser: Browser, stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")
    await rows.count(1, 3)
    link = await link_to(service, stack)
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
    await tab.goto(service.url)
    await expect(tab.locator("#customers")).to_have_text("3")
    await tab.goto(link)  # used, but this browser has a session
    await expect(tab.locator("#customers")).to_have_text("3")
    await person.close()

    stranger = await browser.new_page()
    await stranger.goto(link)
    await expect(stranger.locator("#ask-error")).to_contain_text("used before or has expired")
    await expect(stranger.locator("main")).to_be_hidden()
    await stranger.goto(await link_to(service, stack))  # in the same tab: only what follows # changes
    await expect(stranger.locator("#customers")).to_have_text("3")
    await stranger.close()


async def test_without_a_token_it_asks(page: Page, stack: Stack, rows: Rows) -> None:
    service = await stack.start("api")
    await rows.count(1, 3)
    await page.goto(service.url)
    await expect(page.get_by_role("heading", name="Open a workspace")).to_be_visible()
    await expect(page.locator("main")).to_be_hidden()
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


async def test_a_lost_connection_is_said_and_found_again(
    page: Page, stack: Stack, service: Service, rows: Rows
) -> None:
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


@pytest.mark.parametrize("width", [360, 820, 1400])
async def test_nothing_is_cut_off(page: Page, service: Service, rows: Rows, width: int) -> None:
    await rows.count(1, 1_234_567_890, lapsed=1_234_567_890)
    await rows.customer("x" * 300, [(0, 1), (5, 2)], touchpoints=2)
    await page.set_viewport_size({"width": width, "height": 800})
    await page.goto(f"{service.url}/#/customer/{'x' * 300}")
    await expect(page.locator(".timeline li")).to_have_count(2)

    async def fits() -> bool:
        return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    await until(fits, seconds=5, what="the page to fit its window")


async def test_it_loads_nothing_from_elsewhere(page: Page, service: Service, rows: Rows) -> None:
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    response = await page.goto(service.url)
    assert response is not None
    assert "default-src 'none'" in response.headers["content-security-policy"]
    await expect(page.locator("#status")).to_have_text("Live")
    assert [url for url in requests if not url.startswith(service.url)] == []
