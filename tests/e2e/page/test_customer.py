"""One customer."""

import json
import re

from playwright.async_api import Page, expect

from tests.e2e.page.conftest import HOSTILE
from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from tests.support.stack import Service, until
from throughline.store.digest import id_digest, message_digest

DAY_S = 86_400


async def test_a_journey(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("user-1", [(0, 1), (3600, 2), (90000, 4)], touchpoints=70)
    at_us = AT_US + 90000 * SECOND_US
    await rows.touchpoint("user-1", "o", at_us, name="Order Completed", order_id="1042", value=59.9, currency="EUR")
    await page.goto(service.url)
    await page.get_by_label("Customer id").fill("  user-1 ")
    await page.get_by_role("button", name="Find").click()
    timeline = page.locator(".timeline > li")
    await expect(timeline.locator("strong")).to_have_text(["Purchase", "Consideration", "Discovery"])
    await expect(timeline.locator(".spent")).to_have_text([re.compile(r"d .*so far$"), "1 d", "1 h"])
    await expect(timeline.last.locator(".cause")).to_contain_text("Product Viewed led to Discovery")
    await expect(page.locator(".reason")).to_contain_text("Why is this customer here? Product Viewed led to Purchase")
    await expect(page.locator(".reason")).to_contain_text(
        "by the rule “product_viewed”, from Consideration, past Decision."
    )
    await timeline.first.get_by_text("Details").click()
    await expect(timeline.first.locator("dd")).to_have_text(["Product Viewed", "m2", "user-1", "product_viewed"])
    touchpoints = page.locator(".touchpoints li")
    await expect(touchpoints).to_have_count(50)
    await expect(touchpoints.first).to_contain_text("order id 1042")
    await page.get_by_role("button", name="Load more").click()
    await expect(touchpoints).to_have_count(71)
    await touchpoints.nth(1).get_by_text("As sent").click()
    await expect(touchpoints.nth(1).locator("pre")).to_contain_text('"color": "green"')
    await page.get_by_role("link", name="Orders").click()
    await expect(touchpoints).to_have_count(1)
    await expect(page).to_have_url(re.compile(r"#/customer/user-1\?only=orders$"))
    await page.get_by_label("Customer id").fill("nobody")
    await page.get_by_label("Customer id").press("Enter")
    await expect(page.get_by_role("alert").filter(has_text="no touchpoint of this customer")).to_be_visible()


async def test_a_journey_with_lapses(page: Page, service: Service, rows: Rows) -> None:
    moves = [(0, 1), (100, 4), (20 * DAY_S, CHURN), (30 * DAY_S, 2), (40 * DAY_S, ABANDON)]
    await rows.customer("user-1", moves)
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline > li")
    await expect(timeline.locator("strong")).to_have_text(["Consideration", "Purchase", "Discovery"])
    await expect(timeline.first.locator(".cause").first).to_contain_text("Cycle 2")
    await expect(page.locator(".reason")).to_contain_text("it counts as lapsed (abandoned)")
    bands = page.locator(".bands > li")
    await expect(bands).to_have_text([re.compile("Cycle 2.*Consideration"), re.compile("Cycle 1Discovery.*Purchase")])


async def test_a_long_journey_comes_in_pages(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("user-1", [(n * 40 * DAY_S // 2, ABANDON if n % 2 else 2) for n in range(121)])
    await page.goto(f"{service.url}/#/customer/user-1")
    timeline = page.locator(".timeline > li")
    bands = page.locator(".band > span")
    await expect(timeline).to_have_count(25)
    await expect(timeline.first.locator(".cause").first).to_contain_text("Cycle 61")
    earlier = page.get_by_role("button", name="Earlier phases")
    for shown in (50, 61):
        await earlier.click()
        await expect(timeline).to_have_count(shown)
        await expect(bands).to_have_count(shown)
    await expect(earlier).to_be_hidden()
    await expect(timeline.last.locator(".cause").first).not_to_contain_text("Cycle")


async def test_its_ids_and_who_it_is_under_another_one(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1)], touchpoints=1)
    await rows.link("ada", None)
    await rows.link("device-1", "ada", message_id="login-1")
    await page.goto(f"{service.url}/#/customer/device-1")
    await expect(page.get_by_text("device-1 belongs to the customer ada.")).to_be_visible()
    identity = page.locator(".ids li")
    await expect(identity).to_have_text([re.compile(r"device-1 linked .* message login-1")])
    await page.get_by_text("Who brought this customer").click()
    await expect(page.get_by_text("Nobody brought this customer, and it brought nobody.")).to_be_visible()


async def test_five_thousand_touchpoints_scroll_smoothly(page: Page, service: Service, rows: Rows) -> None:
    await rows.customer("busy", [(0, 1)], touchpoints=1)
    names = [f"n{number}" for number in range(4999)]
    await rows.execute(
        "insert into touchpoints (actor, message, occurred_us, place, received_us, source, channel, call, name, "
        "message_id, user_id, rest, bot, test) select $1, each.message, $2::bigint + 1000000 * each.number, 0, "
        "$2::bigint, $3, 'direct', 'track', 'Product Viewed', each.name, 'busy', $4, false, false "
        "from unnest($5::bytea[], $6::text[]) with ordinality each(message, name, number)",
        id_digest(rows.workspace, "busy"),
        AT_US + 10 * SECOND_US,
        rows.source,
        json.dumps({"properties": {"color": "green"}}),
        [message_digest(name) for name in names],
        names,
    )
    await page.goto(f"{service.url}/#/customer/busy")
    touchpoints = page.locator(".touchpoints li")
    await expect(touchpoints).to_have_count(50)
    await page.evaluate(
        """async () => {
            const button = document.querySelector(".touchpoints + .more button");
            while (!button.closest("p").hidden) {
                if (!button.disabled) button.click();
                await new Promise((resolve) => setTimeout(resolve, 5));
            }
        }"""
    )
    await expect(touchpoints).to_have_count(5000)
    # What is out of sight is not laid out: a step of the wheel costs about what it costs with fifty.
    work = await page.evaluate(
        """async () => {
            const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
            const took = [];
            for (let step = 0; step < 30; step += 1) {
                const before = performance.now();
                scrollBy(0, 3000);
                document.body.offsetHeight;
                took.push(performance.now() - before);
                await frame();
            }
            return took.sort((a, b) => a - b)[15];
        }"""
    )
    assert work < 200, f"{work} ms"


async def test_a_hostile_id_stays_text(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1, channel=HOSTILE)
    await rows.customer(HOSTILE, [(0, 1)], channel=HOSTILE)
    await rows.touchpoint(HOSTILE, "m", AT_US, name=HOSTILE, order_id=HOSTILE, channel=HOSTILE)
    await page.goto(service.url)
    await page.get_by_role("link", name="Discovery").click()
    await page.locator("tbody th a").click()
    await expect(page.locator("#title")).to_have_text(HOSTILE)
    await expect(page.locator(".touchpoints strong")).to_have_text(HOSTILE)
    await page.get_by_role("navigation").get_by_role("link", name="Now").click()
    await page.get_by_label("Channel").select_option(HOSTILE)
    await expect(page.locator("#customers")).to_have_text("1")
    await page.reload()
    await expect(page.get_by_label("Channel")).to_have_value(f"={HOSTILE}")
    await expect(page.locator("#customers")).to_have_text("1")
    assert await page.locator("main img").count() == 0
    assert await page.title() != "owned"


async def test_any_id_has_an_address(page: Page, service: Service, rows: Rows) -> None:
    ids = ["مرحبا بالعالم", "👩‍👩‍👧‍👦🎉", "x" * 512, "a b/c?d#e&f=g%h", "a;b,c"]
    for customer in ids:
        await rows.customer(customer, [(0, 1)], touchpoints=1)
    for customer in ids:
        await page.goto(f"{service.url}/#/customers")
        await page.get_by_role("link", name=customer, exact=True).click()
        await expect(page.locator("#title")).to_have_text(customer)
        await page.reload()
        await expect(page.locator(".touchpoints li")).to_have_count(1)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), customer


async def test_nothing_is_cut_off(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 1_234_567_890, lapsed=1_234_567_890)
    await rows.customer("x" * 300, [(0, 1), (5, 2)], touchpoints=2)

    async def fits() -> bool:
        return bool(await page.evaluate("document.documentElement.scrollWidth <= innerWidth"))

    for width in (360, 820, 1400):
        await page.set_viewport_size({"width": width, "height": 800})
        await page.goto(f"{service.url}/#/customer/{'x' * 300}")
        await expect(page.locator(".timeline > li")).to_have_count(2)
        await until(fits, seconds=5, what="the page to fit its window")
        await page.goto(f"{service.url}/#/now")
        await expect(page.locator("#customers")).to_have_text("2,469,135,780")
        await until(fits, seconds=5, what="the page to fit its window")
