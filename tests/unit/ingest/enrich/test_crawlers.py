"""Who is a crawler, and what becomes of its events."""

import json
import re
from typing import Any

import pytest
from crawleruseragents import CRAWLER_USER_AGENTS_DATA
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.envelope import open_body
from services.ingest.dialects.segment import judge
from services.ingest.enrich.crawlers import MAX_CHARACTERS, is_crawler
from services.ingest.validate.touchpoint import Result

GOOGLEBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
SAFARI = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
    "Mobile/15E148 Safari/604.1"
)


def judged(batch: dict[str, Any]) -> Result:
    body = open_body(json.dumps(batch).encode(), "")
    return judge(body, workspace=1, source=1, received_us=1, new_id=lambda: "new")


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
def test_crawlers_are_told(user_agent: str) -> None:
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
def test_people_and_the_http_clients_that_send_for_them_are_not(user_agent: str) -> None:
    assert not is_crawler(user_agent)


def test_every_crawler_of_the_list_is_told_by_what_it_was_seen_with() -> None:
    for one in CRAWLER_USER_AGENTS_DATA:
        if "http-library" not in one.get("tags", ()):
            for seen in one["instances"]:
                assert is_crawler(seen) or re.search(one["pattern"], seen[:MAX_CHARACTERS]) is None, seen


@given(st.text(max_size=2_000))
def test_any_text_is_judged_by_its_beginning(text: str) -> None:
    assert is_crawler(text) == is_crawler(text[:MAX_CHARACTERS])


def test_an_event_of_a_crawler_is_kept_and_flagged_and_its_neighbours_are_not() -> None:
    found = judged({"batch": [event(SAFARI), event(GOOGLEBOT), event(SAFARI), event(None), event(["Googlebot"])]})
    assert [one.bot for one in found.touchpoints] == [False, True, False, False, False]
    assert [verdict and (verdict.verdict, verdict.code, verdict.field) for verdict in found.verdicts] == [
        None,
        ("warning", "bot", "context.userAgent"),
        None,
        None,
        None,
    ]
    assert found.touchpoints[1].warnings == ("bot",)


def test_the_context_of_a_batch_tells_too() -> None:
    plain = {"type": "page", "userId": "ada", "messageId": "m"}
    found = judged({"batch": [plain, plain | {"context": {"locale": "de"}}], "context": {"userAgent": GOOGLEBOT}})
    assert [one.bot for one in found.touchpoints] == [True, True]
