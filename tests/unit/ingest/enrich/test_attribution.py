"""The attribution of events: the rules of docs/reference/attribution.md, and what becomes of nonsense."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.enrich.address import MAX_TEXT, REFERRAL_CODES, UTM_FACTS, parse_address
from services.ingest.enrich.attribution import (
    MAX_CHANNEL,
    MAX_CLICK_IDS,
    NO_ATTRIBUTION,
    Attribution,
    attribution_of,
    origin_of,
)
from services.ingest.enrich.click_ids import CLICK_IDS
from tests.support.dialect_requests import batch
from throughline.journey.channels import STANDARD_CHANNELS

SHOP = "https://www.shop.example/shoes"
GOOGLE = "https://www.google.co.uk/"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.0 "
    "Mobile/15E148 Safari/604.1"
)


def page(query: str = "", referrer: str = "") -> dict[str, Any]:
    return {"page": {"url": f"{SHOP}?{query}" if query else SHOP, "referrer": referrer}}


def visit(url: str, referrer: str = "") -> dict[str, Any]:
    return {"page": {"url": url, "referrer": referrer}}


def campaign(**members: Any) -> dict[str, Any]:
    return {"campaign": members}


def attribution(context: dict[str, Any], properties: dict[str, Any] | None = None, call: str = "track") -> Attribution:
    return attribution_of(origin_of(context), properties or {}, call)


def facts(context: dict[str, Any], properties: dict[str, Any] | None = None, call: str = "track") -> dict[str, Any]:
    text = attribution(context, properties, call).facts
    return json.loads(text) if text else {}


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        ({}, "direct"),
        (page(), "direct"),
        # The medium; if it only says that clicks are paid for, its source.
        (campaign(medium="CPC"), "paid_search"),
        (campaign(medium="cpc", source="Google"), "paid_search"),
        (campaign(medium="cpc", source="facebook"), "paid_social"),
        (campaign(medium="cpc", source="ig"), "paid_social"),
        (campaign(medium="cpm", source="linkedin.com"), "paid_social"),
        (campaign(medium="ppc", source="youtube"), "paid_video"),
        (campaign(medium="cpm", source="dsp"), "display"),
        (campaign(medium="paid", source="partner"), "paid_other"),
        (campaign(medium="retargeting"), "paid_other"),
        (campaign(medium="Paid Social"), "paid_social"),
        (campaign(medium="paid-social", source="google"), "paid_social"),
        (campaign(medium="paid-search", source="facebook"), "paid_search"),
        (campaign(medium="banner"), "display"),
        (campaign(medium="Email", source="google"), "email"),
        (campaign(medium="newsletter"), "email"),
        (campaign(medium="affiliates"), "affiliate"),
        (campaign(medium="social-network"), "social"),
        (campaign(medium="organic"), "organic_search"),
        (campaign(medium="organic", source="instagram"), "social"),
        (campaign(medium="referral"), "referral"),
        (campaign(medium="referral", source="pinterest.com"), "social"),
        (campaign(medium="webpush"), "push"),
        (campaign(medium="mobile-notification"), "push"),
        (campaign(medium="sms"), "sms"),
        (campaign(medium="audio"), "audio"),
        (campaign(medium="video-ad"), "video"),
        (campaign(medium="skywriting"), "campaign"),
        # A medium that decides nothing: the source.
        (campaign(source="facebook"), "social"),
        (campaign(source="m.facebook.com", medium="skywriting"), "social"),
        (campaign(source="chatgpt.com"), "ai_assistant"),
        (campaign(source="newsletter"), "email"),
        (campaign(source="spring-flyer"), "campaign"),
        (campaign(source="google", medium="(none)"), "organic_search"),
        (campaign(source="(direct)", medium="(none)"), "direct"),
        # A campaign's name decides nothing.
        (campaign(name="spring") | page(referrer=GOOGLE), "organic_search"),
        # The address of the page.
        (page("utm_source=bing&utm_medium=cpc"), "paid_search"),
        (page("utm_source=mail&utm_medium=e%2Dmail"), "email"),
        (page("UTM_MEDIUM=Affiliate"), "affiliate"),
        (page("utm_medium=affiliate") | campaign(medium="email"), "email"),
        # Click ids, before a source and after a medium.
        (page("gclid=a"), "paid_search"),
        (page("wbraid=a", "https://www.facebook.com/"), "paid_search"),
        (page("dclid=a"), "display"),
        (page("msclkid=a&fbclid=b"), "paid_search"),
        (page("ttclid=a"), "paid_social"),
        (page("ScCid=a"), "paid_social"),
        (page("fbclid=a"), "social"),
        (page("irclickid=a"), "affiliate"),
        (page("srsltid=a", GOOGLE), "organic_search"),
        (page("gclid=a&utm_source=flyer"), "paid_search"),
        (page("gclid=a&utm_source=x&utm_medium=email"), "email"),
        # The referrer.
        (page(referrer=GOOGLE), "organic_search"),
        (page(referrer="https://duckduckgo.com/?q=shoes"), "organic_search"),
        (page(referrer="android-app://com.google.android.googlequicksearchbox/"), "organic_search"),
        (page(referrer="https://classroom.google.com/c/1"), "referral"),
        (page(referrer="https://mail.google.com/mail/u/0/"), "email"),
        (page(referrer="https://t.co/abc"), "social"),
        (page(referrer="https://lm.facebook.com/l.php?u=x"), "social"),
        (page(referrer="http://m.youtube.com"), "video"),
        (page(referrer="https://chatgpt.com/"), "ai_assistant"),
        (page(referrer="https://gemini.google.com/app"), "ai_assistant"),
        (page(referrer="https://ad.doubleclick.net/x"), "display"),
        (page(referrer="https://blog.example/post"), "referral"),
        (page(referrer="blog.example/post"), "referral"),
        # A page of the same site is no referrer.
        (page(referrer="https://shop.example/a"), "direct"),
        (page(referrer="https://checkout.shop.example/b"), "direct"),
        (page("ref=footer", "https://shop.example/a"), "direct"),
        # Sibling hosts of one registered domain. Shops on one platform are different sites.
        (page(referrer="https://pay.other.example/"), "referral"),
        (visit("https://shop.brand.co.uk/", "https://blog.brand.co.uk/a"), "direct"),
        (visit("https://shop.brand.co.uk/", "https://blog.other.co.uk/a"), "referral"),
        (visit("https://a.myshopify.com/", "https://b.myshopify.com/a"), "referral"),
        (visit("https://10.0.0.1/", "https://10.9.0.1/a"), "referral"),
        (visit("https://www.münchen.de/", "https://shop.xn--mnchen-3ya.de/a"), "direct"),
        # Pages where a customer pays or logs in.
        *[
            (page(referrer=f"https://{host}/x"), "direct")
            for host in (
                "www.paypal.com",
                "paypal.com",
                "pay.klarna.com",
                "checkout.stripe.com",
                "live.adyen.com",
                "www.mollie.com",
                "acs2.bank.example",
                "3dsecure.bank.example",
                "3ds.somebank.co.uk",
                "accounts.google.com",
                "accounts.google.co.uk",
                "login.microsoftonline.com",
                "appleid.apple.com",
            )
        ],
        (page("utm_source=mail&utm_medium=email", "https://www.paypal.com/"), "email"),
        (page("ref=ADA10", "https://www.paypal.com/"), "direct"),
        (page(referrer="https://pubs.acs.org/"), "referral"),
        # Parameters behind the hash.
        (visit("https://shop.example/#/shoes?utm_source=mail&utm_medium=email"), "email"),
        (visit("https://shop.example/app#!/shoes?gclid=a"), "paid_search"),
        (visit("https://shop.example/#utm_medium=affiliate"), "affiliate"),
        (visit("https://shop.example/?utm_medium=email#/a?utm_medium=affiliate"), "email"),
        # A tagged link is not organic; sources and media that name ads.
        (campaign(source="google", medium="pmax"), "paid_search"),
        (campaign(source="google", medium="performance-max"), "paid_search"),
        (campaign(source="bing", medium="skywriting"), "paid_search"),
        (campaign(source="google_ads"), "paid_search"),
        (campaign(source="google_ads", medium="search"), "paid_search"),
        (campaign(source="Facebook-Ads"), "paid_social"),
        (campaign(source="facebook-ads", medium="cpc"), "paid_social"),
        (campaign(source="adwords"), "paid_search"),
        (campaign(source="google_ads", medium="organic"), "paid_search"),
        (campaign(source="meta-ads", medium="social"), "paid_social"),
        (campaign(source="x_ads"), "paid_social"),
        (campaign(source="google_ads", medium="email"), "email"),
        (campaign(source="youtube ads"), "paid_video"),
        (campaign(medium="facebook_ads"), "paid_social"),
        (campaign(source="google", medium="google_ads"), "paid_search"),
        (campaign(source="meta", medium="paid_ads"), "paid_social"),
        (campaign(source="newsletter", medium="ads-free"), "email"),
        (campaign(medium="display_ads"), "display"),
        (campaign(source="uploads", medium="downloads"), "campaign"),
        (campaign(source="linkedin", medium="sponsored-content"), "paid_social"),
        (campaign(source="facebook", medium="Promoted Post"), "paid_social"),
        (campaign(source="yahoo"), "organic_search"),
        (campaign(source="yahoo", medium="native"), "paid_search"),
        (campaign(source="x", medium="cpc"), "paid_social"),
        (campaign(source="vk", medium="cpc"), "paid_social"),
        (page("utm_medium=cpc", "https://www.facebook.com/"), "paid_social"),
        (page("utm_medium=paid", GOOGLE), "paid_search"),
        (page("utm_medium=cpc&fbclid=a"), "paid_social"),
        (page("gad_source=1"), "paid_search"),
        (page("gad_campaignid=123", GOOGLE), "paid_search"),
        # Mail, messengers, apps, assistants.
        (page(referrer="https://webmail1m.orange.fr/webmail/fr_FR/read.html"), "email"),
        (page(referrer="https://outlook.office365.com/mail/"), "email"),
        (page(referrer="https://outlook.office.com/"), "email"),
        (page(referrer="https://eur02.safelinks.protection.outlook.com/?url=x"), "email"),
        (page(referrer="https://mail.company.example/owa/"), "email"),
        (page(referrer="https://webmail.provider.example/"), "email"),
        (page(referrer="https://poczta.onet.pl/"), "email"),
        (page(referrer="https://navigator-bs.gmx.net/mail"), "email"),
        (page(referrer="https://office.mailbox.org/"), "email"),
        (page(referrer="android-app://org.mozilla.thunderbird"), "email"),
        (page(referrer="https://www.google.fr/imgres?q=a"), "organic_search"),
        (page(referrer="https://l.messenger.com/"), "social"),
        (page(referrer="https://web.whatsapp.com/"), "social"),
        (page(referrer="https://teams.microsoft.com/"), "social"),
        (page(referrer="https://mail.example/"), "referral"),
        (page(referrer="android-app://com.reddit.frontpage/"), "social"),
        (page(referrer="android-app://com.google.android.gm"), "email"),
        (page(referrer="android-app://com.openai.chatgpt/"), "ai_assistant"),
        (page(referrer="ios-app://544007664/vnd.youtube/www.youtube.com"), "video"),
        (page(referrer="https://claude.com/"), "ai_assistant"),
        (page(referrer="https://copilot.cloud.microsoft/"), "ai_assistant"),
        (page(referrer="https://ya.ru/"), "organic_search"),
        # A friend's link.
        (page("ref=ADA10"), "referral"),
        (page("ref=ADA10", "https://www.facebook.com/"), "social"),
        # No address, no text.
        (page(referrer="$direct"), "direct"),
        (page(referrer="about:blank"), "direct"),
        ({"campaign": "odd", "page": 3}, "direct"),
        (campaign(medium=["cpc"], source={"a": 1}), "direct"),
        ({"page": {"url": None, "referrer": False}}, "direct"),
    ],
)
def test_channels(context: dict[str, Any], expected: str) -> None:
    assert attribution(context).channel == expected


@pytest.mark.parametrize(
    ("properties", "call", "expected"),
    [
        ({"acquisition_channel": " Store "}, "track", "store"),
        ({"acquisition_channel": "x" * 100}, "track", "x" * MAX_CHANNEL),
        ({"acquisition_channel": 7, "utm_medium": "email"}, "track", "email"),
        ({"referrer": "https://t.co/abc"}, "track", "social"),
        ({"referrer": "https://shop.example/a", "url": "https://www.shop.example/b"}, "page", "direct"),
        ({"url": f"{SHOP}?gclid=a"}, "page", "paid_search"),
        ({"url": f"{SHOP}?gclid=a"}, "track", "direct"),  # the address of a product
        ({"msclkid": "a"}, "track", "paid_search"),
        ({"gclid": None, "fbclid": 3}, "track", "direct"),
        ({"referralCode": "ADA10"}, "track", "referral"),
    ],
)
def test_channels_by_properties(properties: dict[str, Any], call: str, expected: str) -> None:
    assert attribution({}, properties, call).channel == expected


def test_facts_of_a_click_on_an_ad() -> None:
    query = "utm_campaign=Spring%20Sale&utm_term=red+shoes&utm_content=b&gclid=Cj0-K&gbraid=0AA&ref=ADA10&email=a%40b.c"
    assert facts(page(query, "https://www.google.com/search?q=secret") | {"userAgent": IPHONE}) == {
        "source": "google",
        "medium": "cpc",
        "campaign": "Spring Sale",
        "term": "red shoes",
        "content": "b",
        "click_ids": {"gclid": "Cj0-K", "gbraid": "0AA"},
        "referrer": "google.com",
        "referral_code": "ADA10",
        "device": {"type": "mobile", "os": "iOS"},
    }


@pytest.mark.parametrize(
    ("context", "expected"),
    [
        (page(), {}),
        (page(referrer=GOOGLE), {"source": "google", "medium": "organic", "referrer": "google.co.uk"}),
        (page(referrer="https://x.com/"), {"source": "twitter", "medium": "referral", "referrer": "x.com"}),
        (page(referrer="https://Blog.Example:8443/"), {"source": "blog.example", "medium": "referral"}),
        (page("fbclid=a"), {"source": "facebook", "medium": "social", "click_ids": {"fbclid": "a"}}),
        (page("utm_medium=cpc", "https://www.facebook.com/"), {"source": "facebook", "medium": "cpc"}),
        (page("gad_source=1"), {"source": "google", "medium": "cpc", "click_ids": {"gad_source": "1"}}),
        (page(referrer="https://google.fr/imgres?a"), {"source": "google images", "medium": "organic"}),
        (page("utm_source=Mail", GOOGLE), {"source": "Mail", "referrer": "google.co.uk"}),
        (campaign(source="a", medium="b", name="c", term="d", content="e", id="f"), {"source": "a", "content": "e"}),
        (page("via=one&ref=two&referral_code=three"), {"referral_code": "three"}),
        (page("ref=%00&via=one"), {"referral_code": "one"}),
    ],
)
def test_facts(context: dict[str, Any], expected: dict[str, Any]) -> None:
    stored = facts(context)
    assert stored | expected == stored
    assert bool(stored) == bool(expected)


def test_who_was_referred_may_name_the_customer_who_did_it() -> None:
    for name in ("referral_code", "referralCode", "referred_by", "referredBy"):
        referred = attribution({}, {name: " ada "}, "track")
        assert (referred.channel, json.loads(referred.facts)) == ("referral", {"referral_code": "ada"})
    referred = attribution({}, {"referred_by": "ada", "referral_code": "ADA10"}, "track")
    assert json.loads(referred.facts) == {"referral_code": "ADA10"}


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://user:secret@shop.example:8443/a?b#c", "shop.example"),
        ("https://[2001:DB8::1]:8443/a", "2001:db8::1"),
        ("https://xn--mnchen-3ya.example/", "münchen.example"),
        ("https://XN--MNCHEN-3YA.example/", "münchen.example"),
        ("https://mu\u0308nchen.example/", "münchen.example"),
        ("https://xn--\u00e4.example/", "xn--\u00e4.example"),
        ("https://xn--99999999.example/", "xn--99999999.example"),
        ("https://MÜNCHEN.example./", "münchen.example"),
        ("shop.example", "shop.example"),
        ("http://localhost/", "localhost"),
        ("http://[broken", "broken"),
        ("http://", ""),
        ("https://a b/", ""),
        ("https://a\ud800b/", ""),
        ("https://a\0b/", ""),
        (f"https://{'a' * 300}.example/", ""),
        ("$direct", ""),
        ("", ""),
    ],
)
def test_hosts(url: str, host: str) -> None:
    assert parse_address(url).host == host


def test_texts_are_truncated_and_long_click_ids_left_out() -> None:
    stored = facts(page(f"utm_campaign={'x' * 400}&gclid={'y' * 400}&msclkid={'z' * MAX_TEXT}"))
    assert stored["campaign"] == "x" * MAX_TEXT
    assert stored["click_ids"] == {"msclkid": "z" * MAX_TEXT}
    assert len(facts(page("&".join(f"{name}=a" for name in CLICK_IDS)))["click_ids"]) == MAX_CLICK_IDS


_NAMES = st.sampled_from([*UTM_FACTS, *CLICK_IDS, *REFERRAL_CODES, "Utm_Source", "q"])
_ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=400)  # lone surrogates too
_SITES = st.sampled_from(["google.com", "shop.example", "[::1]", "a@b", "xn--a", "x.com/y", "%00", "android-app:"])
_URLS = st.builds(
    lambda scheme, site, query: f"{scheme}{site}?{'&'.join(f'{name}={value}' for name, value in query)}",
    st.sampled_from(["https://", "", "//", "x:"]),
    _SITES | _ANY_TEXT,
    st.lists(st.tuples(_NAMES, _ANY_TEXT | st.sampled_from(["%00", "%ED%A0%80", "cpc", "google", "%", "+"]))),
)
_VALUES = _URLS | _ANY_TEXT | st.none() | st.booleans() | st.integers() | st.lists(st.integers(), max_size=2)
_PART = st.dictionaries(
    st.sampled_from(["url", "referrer", "source", "medium", "name", "term", "type", "model", "mobile", "platform"]),
    _VALUES,
)
_CONTEXTS = st.dictionaries(
    st.sampled_from(["page", "campaign", "userAgent", "userAgentData", "device", "os"]), _PART | _VALUES
)
_PROPERTIES = st.dictionaries(
    st.sampled_from(["acquisition_channel", "referrer", "url", "referral_code", *UTM_FACTS, *CLICK_IDS]), _VALUES
)


@given(_CONTEXTS, _PROPERTIES, st.sampled_from(["page", "track", ""]))
def test_whatever_is_sent_the_facts_are_small_sound_json(
    context: dict[str, Any], properties: dict[str, Any], call: str
) -> None:
    said = attribution(context, properties, call)
    channel, text = said.channel, said.facts
    assert 0 < len(channel) <= MAX_CHANNEL
    for part in (channel, text):
        assert "\0" not in part
        assert "\\u0000" not in part
        part.encode()
    stored = json.loads(text or "{}")
    texts = [*stored.values()]
    for name in ("click_ids", "device"):
        texts += stored.get(name, {}).values()
    assert all(0 < len(value) <= MAX_TEXT for value in texts if isinstance(value, str))
    assert len(stored.get("click_ids", {})) <= MAX_CLICK_IDS
    if not context and not properties:
        assert said == NO_ATTRIBUTION


def test_hosts_of_a_source_that_open_no_visit() -> None:
    referrers = ("https://pay.bank.example/x", "https://www.bank.example/", "https://a.pay.bank.example", GOOGLE)
    events = [
        {"type": "page", "userId": "ada", "messageId": referrer, "context": page(referrer=referrer)}
        for referrer in referrers
    ]
    by_property = {"type": "page", "userId": "ada", "messageId": "p", "properties": {"referrer": referrers[0]}}
    hosts = ("pay.bank.example", "xn--mnchen-3ya.example")
    result = batch(*events, by_property, received_us=1_700_000_000_000_000, settings={"no_visit_hosts": hosts})
    assert [touchpoint.channel for touchpoint in result.touchpoints] == [
        "direct",
        "referral",
        "direct",
        "organic_search",
        "direct",
    ]


def test_an_event_has_the_facts_of_its_own_context() -> None:
    plain = {"type": "track", "event": "Seen", "userId": "ada", "messageId": "m"}
    ad = plain | {"context": page("gclid=a")}
    touchpoints = batch(
        plain, ad, ad | {"properties": {"acquisition_channel": "Store"}}, plain | {"context": {}}, ad, received_us=1
    ).touchpoints
    assert [touchpoint.channel for touchpoint in touchpoints] == [
        "direct",
        "paid_search",
        "store",
        "direct",
        "paid_search",
    ]
    assert [touchpoint.attribution == "" for touchpoint in touchpoints] == [True, False, False, True, False]
    assert touchpoints[1].attribution == touchpoints[2].attribution == touchpoints[4].attribution


def test_the_channels_that_rules_give_are_the_standard_ones() -> None:
    page = (Path(__file__).parents[4] / "docs/reference/attribution.md").read_text()
    table = page.partition("## Channel\n")[2].partition("\n\n- ")[0]
    given = {
        name for row in table.splitlines() if row.startswith("|") for name in re.findall(r"`(\w+)`", row.split("|")[-2])
    }
    assert given == STANDARD_CHANNELS
    assert {click.channel for click in CLICK_IDS.values()} <= STANDARD_CHANNELS
