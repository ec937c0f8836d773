"""The page by keyboard alone, what has the focus, and what is said to screen readers."""

import re

from playwright.async_api import Page, expect

from tests.support.rows import Rows
from tests.support.stack import Service


async def test_from_the_first_key_to_a_customer_and_back(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(2, 1)
    await rows.customer("ada", [(0, 2)], touchpoints=1)
    await page.goto(service.url)
    await expect(page.locator("#customers")).to_have_text("1")
    await page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to the view")
    await expect(skip).to_be_focused()
    await skip.press("Enter")
    await expect(page.locator("#title")).to_be_focused()
    await expect(page.locator("#title")).to_have_text("Now")  # the address is still that of the view
    phase = page.get_by_role("link", name="Consideration", exact=True)
    await phase.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_be_focused()
    ada = page.get_by_role("link", name="ada", exact=True)
    await ada.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#title")).to_have_text("ada")
    await page.keyboard.press("Escape")
    await expect(ada).to_be_focused()
    await page.go_back()
    await expect(phase).to_be_focused()
    await page.keyboard.press("/")
    await expect(page.get_by_role("combobox", name="Customer id")).to_be_focused()


async def test_a_choice_keeps_the_focus(page: Page, service: Service, rows: Rows) -> None:
    await rows.count(1, 3, channel="email")
    await page.goto(service.url)
    channel = page.get_by_label("Channel")
    await expect(page.locator("#customers")).to_have_text("3")
    await channel.focus()
    control = await channel.element_handle()
    await page.keyboard.press("e")
    await expect(page).to_have_title(re.compile("email"))
    await expect(page).to_have_url(re.compile("channel=email"))
    await expect(channel).to_be_focused()
    # What is typed next goes on in the same control, although the view has been drawn anew.
    assert control is not None
    assert await control.evaluate("(control) => control.isConnected")
    await page.keyboard.press("Home")
    await expect(page).not_to_have_url(re.compile("channel="))
    await expect(channel).to_have_value("")


async def test_the_views_of_a_narrow_screen(page: Page, service: Service, rows: Rows) -> None:
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(service.url)
    await expect(page.locator("#title")).to_have_text("Now")
    menu = page.get_by_role("button", name="Views")
    await expect(page.get_by_role("link", name="Customers")).to_be_hidden()
    await menu.press("Enter")
    await expect(menu).to_have_attribute("aria-expanded", "true")
    await page.keyboard.press("Escape")
    await expect(menu).to_be_focused()
    await expect(menu).to_have_attribute("aria-expanded", "false")
    await menu.press("Enter")
    await page.get_by_role("link", name="Customers").press("Enter")
    await expect(page.locator("#title")).to_have_text("Customers")
    await expect(menu).to_have_attribute("aria-expanded", "false")


async def test_counts_are_said_at_most_once_in_ten_seconds(page: Page, service: Service, rows: Rows) -> None:
    await page.clock.install()
    await rows.count(1, 1)
    await page.goto(service.url)
    spoken = page.locator("#spoken")
    await page.clock.run_for(100)
    await expect(spoken).to_have_text("1 customer, 0 unplaced")
    await rows.count(1, 1)
    await expect(page.locator("#customers")).to_have_text("2")
    await page.clock.run_for(5000)
    await expect(spoken).to_have_text("1 customer, 0 unplaced")
    await page.clock.run_for(6000)
    await expect(spoken).to_have_text("2 customers, 0 unplaced")


async def test_dark_or_light_is_remembered(page: Page, service: Service, rows: Rows) -> None:
    await page.emulate_media(color_scheme="light")
    await page.goto(service.url)
    dark = "getComputedStyle(document.body).backgroundColor"
    light_colour = await page.evaluate(dark)
    await page.get_by_role("button", name="Dark or light").click()
    dark_colour = await page.evaluate(dark)
    assert dark_colour != light_colour
    await page.reload()
    await expect(page.locator("#title")).to_have_text("Now")
    assert await page.evaluate(dark) == dark_colour
