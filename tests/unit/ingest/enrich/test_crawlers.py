"""Which user agents are crawlers, and what becomes of their events."""

import re
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
    ],
)
def test_browsers_apps_and_http_clients_are_no_crawlers(user_agent: str) -> None:
    assert not is_crawler(user_agent)


def test_every_listed_crawler_is_recognised_by_its_instances() -> None:
    for entry in CRAWLER_USER_AGENTS_DATA:
        if "http-library" not in entry.get("tags", ()):
            for agent in entry["instances"]:
                assert is_crawler(agent) or re.search(entry["pattern"], agent[:MAX_USER_AGENT]) is None, agent


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
