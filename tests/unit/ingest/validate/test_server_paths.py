"""A server's call is told by its path: crawlers are looked for where browsers and apps send only."""

from typing import Any

import pytest

from tests.support.dialect_requests import only, parsed, post, validated

ROBOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
EVENT = {"type": "track", "event": "Viewed", "userId": "ada", "messageId": "m", "context": {"userAgent": ROBOT}}
GA4 = {"client_id": "c.1", "user_agent": ROBOT, "events": [{"name": "page_view"}]}


@pytest.mark.parametrize(
    ("path", "body", "is_bot"),
    [
        ("/v1/batch", {"batch": [EVENT]}, True),
        ("/v1/import", {"batch": [EVENT]}, False),
        ("/import", {"batch": [EVENT]}, False),
        ("/v1/import", {"batch": [EVENT | {"type": "page"}]}, False),
        ("/api/s/track", EVENT, True),
        ("/api/s/s2s/track", EVENT, False),
        ("/mp/collect", GA4, False),
        ("/com.snowplowanalytics.snowplow/tp2", {"data": [{"e": "pv", "duid": "d", "ua": ROBOT}]}, True),
        ("/e", {"api_key": "k", "event": "x", "distinct_id": "a", "properties": {"$raw_user_agent": ROBOT}}, True),
    ],
)
def test_a_robot_is_one_on_a_browsers_path(path: str, body: Any, is_bot: bool) -> None:
    result = validated(parsed(post(body, path=path)))
    assert only(result).bot is is_bot
    assert ("bot" in only(result).warnings) is is_bot


def test_an_order_that_a_server_reports_has_its_attribution() -> None:
    params = {"transaction_id": "A-1", "page_location": "https://shop.example/?utm_source=mail&utm_medium=email"}
    body = GA4 | {"events": [{"name": "purchase", "params": params}]}
    touchpoint = only(validated(parsed(post(body, path="/mp/collect"))))
    assert (touchpoint.bot, touchpoint.channel) == (False, "email")
