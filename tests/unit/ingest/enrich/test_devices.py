"""The device that an event was sent from."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.enrich.crawlers import MAX_USER_AGENT
from services.ingest.enrich.devices import UNKNOWN, device_hints_of, device_of

CHROME = "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0"


def device(context: dict[str, Any]) -> tuple[str, str]:
    hints = device_hints_of(context)
    return UNKNOWN if hints is None else device_of(hints)


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        (f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {CHROME} Safari/537.36", ("desktop", "Windows")),
        (f"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {CHROME} Safari/537.36", ("desktop", "macOS")),
        ("Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:130.0) Gecko/20100101 Firefox/130.0", ("desktop", "Ubuntu")),
        (f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {CHROME} Safari/537.36", ("desktop", "Chrome OS")),
        ("Mozilla/4.0 (compatible; MSIE 8.0; Windows NT 6.1; Trident/4.0; Tablet PC 2.0)", ("desktop", "Windows")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
            ("mobile", "iOS"),
        ),
        ("Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148", ("tablet", "iOS")),
        (f"Mozilla/5.0 (Linux; Android 10; K) {CHROME} Mobile Safari/537.36", ("mobile", "Android")),
        (f"Mozilla/5.0 (Linux; Android 13; SM-X910) {CHROME} Safari/537.36", ("tablet", "Android")),
        (f"Mozilla/5.0 (Linux; Android 12; Lenovo TB-X606F) {CHROME} Safari/537.36", ("tablet", "Android")),
        ("Dalvik/2.1.0 (Linux; U; Android 14; Pixel 8 Build/UD1A)", ("mobile", "Android")),
        (f"Mozilla/5.0 (SMART-TV; LINUX; Tizen 6.0) {CHROME} TV Safari/537.36", ("tv", "Tizen")),
        ("AppleTV11,1/11.1", ("tv", "tvOS")),
        (f"Mozilla/5.0 (Linux; Android 11; Chromecast) {CHROME} Safari/537.36 MyShop TV", ("tv", "Android")),
        ("Opera/9.80 (Linux mips; U; HbbTV/1.1.1 NETTV/4.0.1) Presto/2.10", ("tv", "Linux")),
        ("Opera/9.80 (Linux armv7l; NETTV/4.2.0) Presto/2.12 Version/12.51", ("tv", "Linux")),
        ("Shop/3.1 (Watch OS 10.1; Watch6,2)", ("wearable", "")),
        ("Shop/3.1 Watch OS/10", ("wearable", "")),
        (f"Mozilla/5.0 (Linux; Tizen 2.3; SAMSUNG SM-R760) {CHROME} Mobile Safari/537.36", ("wearable", "Tizen")),
        (f"Mozilla/5.0 (Linux; Android 11; SM-R870 Build/RWD1) {CHROME} Safari/537.36", ("wearable", "Android")),
        (f"Mozilla/5.0 (Linux; Android 9; AFTWMST22) {CHROME} Mobile Safari/537.36", ("tv", "Android")),
        ("Mozilla/5.0 (PlayStation 5/SmartTV) AppleWebKit/605.1.15 (KHTML, like Gecko)", ("console", "")),
        ("python-requests/2.32", ("", "")),
        ("", ("", "")),
    ],
)
def test_user_agents(agent: str, expected: tuple[str, str]) -> None:
    assert device({"userAgent": agent}) == expected


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        # Client hints, which say more than the browser's frozen user agent.
        ({"userAgentData": {"mobile": True, "platform": "Android"}}, ("mobile", "Android")),
        ({"userAgentData": {"mobile": False, "platform": "Android"}}, ("tablet", "Android")),
        ({"userAgentData": {"mobile": False, "platform": "macOS"}}, ("desktop", "macOS")),
        ({"userAgentData": {"mobile": "no", "platform": 3}}, ("", "")),
        # As the mobile libraries send it.
        ({"device": {"type": "ios", "model": "iPhone15,2"}, "os": {"name": "iOS"}}, ("mobile", "iOS")),
        ({"device": {"type": "ios", "model": "iPad13,4"}, "os": {"name": "iPadOS"}}, ("tablet", "iPadOS")),
        ({"device": {"type": "android", "model": "Pixel 8"}, "os": {"name": "Android"}}, ("mobile", "Android")),
        ({"device": {"type": "Tablet"}, "os": {"name": "Android"}}, ("tablet", "Android")),
        ({"device": {"category": "tablet", "operating_system": "Android"}}, ("tablet", "Android")),  # GA4's
        ({"os": {"name": "tvOS"}}, ("tv", "tvOS")),
        ({"os": {"name": "Mac OS X"}}, ("desktop", "macOS")),
        ({"device": {"type": "toaster"}, "os": {"name": "ToastOS"}}, ("", "ToastOS")),
        ({"device": ["ios"], "os": "iOS", "userAgentData": None, "userAgent": 7}, ("", "")),
        ({"library": {"name": "analytics-python"}}, ("", "")),
    ],
)
def test_apps_and_client_hints(context: dict[str, Any], expected: tuple[str, str]) -> None:
    assert device(context) == expected


@given(st.text(st.characters(exclude_categories=()), max_size=1_000))
def test_any_user_agent_counts_by_its_beginning(agent: str) -> None:
    assert device({"userAgent": agent}) == device({"userAgent": agent[:MAX_USER_AGENT]})
