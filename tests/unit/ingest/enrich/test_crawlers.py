"""Which user agents are crawlers, and what becomes of their events."""

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.enrich.crawlers import MAX_USER_AGENT, is_crawler
from tests.support.dialect_requests import batch

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
    "Mobile/15E148 Safari/604.1"
)
CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0"
ROBOTS = 970
"""Number of agents of device-detector's robots that are recognised, at least; 775 by the package's patterns alone."""
PEOPLE_APART = re.compile(r"MetaIAB Facebook|Build/AP3A|Fluid/|Code/1\.|/passremind")
"""What the package's list has of people: browsers of apps, and a build of Android."""


def event(user_agent: Any, **more: Any) -> dict[str, Any]:
    return {"type": "page", "userId": "ada", "messageId": "m", "context": {"userAgent": user_agent}} | more


@pytest.mark.parametrize(
    "user_agent",
    [
        GOOGLEBOT,
        "Mozilla/5.0 (compatible; AhrefsSiteAudit/6.1; +http://ahrefs.com/robot/site-audit)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; GPTBot/1.2; +https://openai.com/gptbot)",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/120.0.0.0 Safari/537.36",
        f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Cypress/13.6.0 Electron/27 Safari/537.36",
        f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 CloudflareObservatory/1.0",
        f"Mozilla/5.0 (Linux; Android 8; Moto G) {CHROME} Safari/537.36 (compatible; NeverListedBot/3.1)",
        "ShopCheckbot/1.0 (+https://shopcheck.example/about)",
        "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
        "WhatsApp/2.19.81 A",
        "FeedFetcher-Google; (+http://www.google.com/feedfetcher.html)",
        f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 Prerender (+https://github.com/prerender/prerender)",
        f"Mozilla/5.0 (X11; Linux x86_64) {CHROME} Safari/537.36 Rigor",
        "playwright/1.40",
    ],
)
def test_crawlers(user_agent: str) -> None:
    assert is_crawler(user_agent)


@pytest.mark.parametrize(
    "user_agent",
    [
        SAFARI,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 13; CUBOT P80) AppleWebKit/537.36 (KHTML) Chrome/116 Mobile Safari/537.36",
        "Dalvik/2.1.0 (Linux; U; Android 9; SM-G960F)",
        "Shop/3.1 CFNetwork/1240 Darwin/20.6.0",
        "okhttp/4.9.3",
        "axios/1.6",
        "",
        f"Mozilla/5.0 (Linux; Android 15; CPH2655 Build/AP3A.240617.008; wv) {CHROME} Mobile Safari/537.36",
        f"Mozilla/5.0 (Linux; U; Android 16; CUBOT X90 Build/AP3A.240617.008) {CHROME} Mobile Safari/537.36",
        "Dalvik/2.1.0 (Linux; U; Android 15; CPH2655 Build/AP3A.240617.008)",
        f"Mozilla/5.0 (Linux; Android 16; Pixel 10 Build/CP1A.260305.018; wv) {CHROME} Safari/537.36 MetaIAB Facebook",
        f"Mozilla/5.0 (Linux; Android 7.1.2; G011A Build/N2G48H; wv) {CHROME} Safari/537.36 Viber/11.9.5.8",
        "Mozilla/5.0 (Mobile; Sonic; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5",
        "Feedly/90.0 CFNetwork/1410.0.3 Darwin/22.6.0",
        "Viber/24.1.0 CFNetwork/1568.300.101 Darwin/24.2.0",
        "Mozilla/5.0 (Linux; U; Android 4.3; en-US; ViewSonic A8+ Build/JLS36C) AppleWebKit/534.30 Safari/534.30",
        f"Mozilla/5.0 (Linux; Android 4.2.2; HTC Butterfly Build/JDQ39) {CHROME} Mobile Safari/537.36",
        f"Mozilla/5.0 (Linux; Android 9; SM-A105F) {CHROME} Mobile Safari/537.36 SogouMSE,SogouMobileBrowser/5.6.0",
        f"Mozilla/5.0 (Linux; Android 7.0; M bot 51) {CHROME} Safari/537.36",
        "gPodder/3.5.2 (+http://gpodder.org/)",
        "Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0)",
    ],
)
def test_browsers_apps_and_http_clients_are_no_crawlers(user_agent: str) -> None:
    assert not is_crawler(user_agent)


def test_every_listed_crawler_is_recognised_by_its_instances() -> None:
    for entry in CRAWLER_USER_AGENTS_DATA:
        if "http-library" not in entry.get("tags", ()):
            for agent in entry["instances"]:
                assert (
                    PEOPLE_APART.search(agent)
                    or is_crawler(agent)
                    or re.search(entry["pattern"], agent[:MAX_USER_AGENT]) is None
                ), agent


def agents_of_devices(*, robots: bool) -> set[str]:
    """The user agents that the package device-detector is tested with."""
    package = distribution("device-detector")
    agents: set[str] = set()
    for file in package.files or ():
        if "fixtures/upstream/" in str(file) and file.suffix == ".yml" and (file.name == "bots.yml") == robots:
            text = Path(str(package.locate_file(file))).read_text(encoding="utf-8")
            agents |= {agent.strip("'\" ") for agent in re.findall(r"(?m)^ +user_agent: (.+)$", text)}
    return agents


def test_people_are_no_crawlers_and_robots_are() -> None:
    people, robots = agents_of_devices(robots=False), agents_of_devices(robots=True)
    people -= robots
    lost = [agent for agent in people if is_crawler(agent)]
    assert len(people) > 30_000
    assert len(lost) <= len(people) / 5_000, lost
    assert sum(map(is_crawler, robots)) >= ROBOTS


@pytest.mark.parametrize("agent", ["WordPress/6.4.1; https://shop.example", "Stripe/1.0", "Shopify-Captain-Hook"])
def test_what_a_server_reports_counts_and_its_views_do_not(agent: str) -> None:
    track = event(agent, type="track", event="Signed Up", messageId="t")
    result = batch(event(agent), track, event(agent, type="identify", messageId="i"), received_us=1)
    assert [touchpoint.bot for touchpoint in result.touchpoints] == [True, False, False]
    assert [touchpoint.warnings for touchpoint in result.touchpoints] == [("bot",), (), ()]


def test_an_order_is_not_dropped_for_an_agent_alone_and_has_no_attribution() -> None:
    properties = {"order_id": "1", "value": 5, "utm_source": "google", "utm_medium": "cpc"}
    result = batch(
        event(GOOGLEBOT, type="track", event="Order Completed", properties=properties),
        event(GOOGLEBOT, type="track", event="Product Viewed", messageId="v"),
        received_us=1,
    )
    order, view = result.touchpoints
    assert (order.bot, order.channel, order.attribution, order.warnings) == (False, "direct", "", ("bot",))
    assert (view.bot, view.warnings) == (True, ("bot",))


@given(st.text(max_size=2_000))
def test_any_text_counts_by_its_beginning(text: str) -> None:
    assert is_crawler(text) == is_crawler(text[:MAX_USER_AGENT])


def test_an_event_of_a_crawler_is_kept_and_flagged_and_its_neighbours_are_not() -> None:
    result = batch(event(SAFARI), event(GOOGLEBOT), event(SAFARI), event(None), event(["Googlebot"]), received_us=1)
    assert [touchpoint.bot for touchpoint in result.touchpoints] == [False, True, False, False, False]
    assert [verdict and (verdict.status, verdict.code, verdict.field) for verdict in result.verdicts] == [
        None,
        ("warning", "bot", "context.userAgent"),
        None,
        None,
        None,
    ]
    assert result.touchpoints[1].warnings == ("bot",)


def test_the_context_of_a_batch_counts_too() -> None:
    plain = {"type": "page", "userId": "ada", "messageId": "m"}
    result = batch(plain, plain | {"context": {"locale": "de"}}, received_us=1, context={"userAgent": GOOGLEBOT})
    assert [touchpoint.bot for touchpoint in result.touchpoints] == [True, True]
