"""What customers say and do for others, in a real browser: the figures are the api's, each with its list."""

import json
import re

from playwright.async_api import Page, expect

from tests.support.rows import AT_US, SECOND_US, Rows
from tests.support.stack import Service

SPAN = "span=2026-09-01..2026-09-30"


async def say(rows: Rows, customer: str, name: str, hour: int, **columns: object) -> None:
    await rows.touchpoint(customer, f"{customer}-{name}", AT_US + hour * 3600 * SECOND_US, name=name, **columns)


async def opinions(rows: Rows) -> None:
    """40 customers answer, 30 of them promoters and 4 detractors; ten came by the code of the first."""
    for number in range(40):
        customer = f"c{number:02}"
        await rows.customer(customer, [(0, 2), (1800, 4 if number < 5 else 3)], memory="")
        await rows.link(customer, None)
        score = 10.0 if number < 30 else 8.0 if number < 36 else 2.0
        await say(rows, customer, "nps_answered", 1, score=score)
        await say(rows, customer, "email_link_clicked", 0, attribution='{"campaign":"autumn"}')
        if 0 < number < 11:
            await say(rows, customer, "product_view", 0, attribution='{"referral_code":"ANN10"}')
    rest = json.dumps({"properties": {"referral_code": "ANN10"}})
    await say(rows, "c00", "invite_sent", 0, attribution='{"referral_code":"ANN10"}', rest=rest)


async def test_scores_lead_to_their_answers(page: Page, service: Service, rows: Rows) -> None:
    await opinions(rows)
    await page.goto(f"{service.url}/#/voices?{SPAN}")
    score = page.get_by_role("figure", name="Would recommend (NPS)")
    await expect(score.locator(".sentence")).to_contain_text("The score is +65")
    await score.get_by_role("button", name="Table").click()
    cells = score.locator("tbody tr").first.locator("th, td")
    await expect(cells).to_contain_text(["All", "40", "30", "4", "+65"])
    await expect(score.locator("tbody tr")).to_contain_text(
        [re.compile("All"), re.compile("Decision"), re.compile("Purchase")]
    )
    await score.get_by_role("link", name="4", exact=True).first.click()
    await expect(page.locator(".counted")).to_have_text("4 answers")
    await page.go_back()
    await expect(score).to_be_visible()
    await page.locator("#measure").select_option("csat")
    await expect(page.get_by_text("There are no answers to “Satisfaction (CSAT)” yet.")).to_be_visible()
    assert "measure=csat" in page.url
    shared = page.get_by_role("figure", name="What was shown and shared")
    await expect(shared.locator(".sentence")).to_contain_text("Invites: 1 customer")
    referrals = page.get_by_role("figure", name="Referrals")
    await expect(referrals.locator(".sentence")).to_contain_text("1 customer brought 10")
    await referrals.get_by_role("button", name="Table").click()
    await expect(referrals.get_by_role("link", name="c00")).to_be_visible()
    messages = page.get_by_role("figure", name="Messages")
    await messages.get_by_role("button", name="Table").click()
    await expect(messages.locator("tbody tr").first.locator("th, td")).to_contain_text(["autumn", "0", "0", "0", "40"])
    await messages.get_by_role("link", name="40", exact=True).first.click()
    await expect(page.locator(".counted")).to_have_text("40 customers")
