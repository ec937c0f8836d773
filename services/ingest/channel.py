"""The acquisition channel an event came through, by a short list of rules. Pure.

First hit counts: an explicit `acquisition_channel` property, the campaign's medium, its source, the referrer, "direct".
"""

from typing import Any
from urllib.parse import urlsplit

DIRECT = "direct"

_MEDIA = {
    "cpc": "paid_search",
    "ppc": "paid_search",
    "sem": "paid_search",
    "paidsearch": "paid_search",
    "paid_search": "paid_search",
    "display": "display",
    "banner": "display",
    "cpm": "display",
    "social": "social",
    "paid_social": "social",
    "social_media": "social",
    "email": "email",
    "newsletter": "email",
    "affiliate": "affiliate",
    "organic": "organic_search",
    "referral": "referral",
    "push": "push",
    "sms": "sms",
}
_SEARCH = ("google", "bing", "duckduckgo", "yahoo", "ecosia", "yandex", "baidu", "qwant", "startpage")
_SOCIAL = ("facebook", "instagram", "tiktok", "twitter", "linkedin", "pinterest", "reddit", "youtube", "snapchat")
_SHORT_SOCIAL = frozenset({"x.com", "t.co", "fb.com", "lnkd.in"})
PROPERTY_HINTS = frozenset({"acquisition_channel", "referrer"})
CONTEXT_HINTS = frozenset({"campaign", "page"})
"""An event whose properties and context have none of these is "direct": no need to ask `channel_of`."""


def channel_of(properties: dict[str, Any], context: dict[str, Any]) -> str:
    """The channel's name, in lower case; at most 64 characters."""
    explicit = properties.get("acquisition_channel")
    if isinstance(explicit, str) and explicit.strip():
        return explicit.strip().lower()[:64]
    campaign = context.get("campaign")
    if isinstance(campaign, dict):
        medium = _text(campaign.get("medium"))
        if medium:
            return _MEDIA.get(medium.replace("-", "_").replace(" ", "_"), "campaign")
        source = _text(campaign.get("source"))
        if source:
            return _site(source) or "campaign"
    return _referred(properties, context)


def _referred(properties: dict[str, Any], context: dict[str, Any]) -> str:
    page = context.get("page")
    page = page if isinstance(page, dict) else {}
    referrer = properties.get("referrer") or page.get("referrer")
    host = _host(referrer)
    if not host or host == _host(properties.get("url") or page.get("url")):
        return DIRECT
    return _site(host) or "referral"


def _site(name: str) -> str:
    labels = name.split(".")
    if any(label in _SEARCH for label in labels):
        return "organic_search"
    if name in _SHORT_SOCIAL or any(label in _SOCIAL for label in labels):
        return "social"
    return ""


def _host(url: Any) -> str:
    if not isinstance(url, str):
        return ""
    try:
        return (urlsplit(url).hostname or "").removeprefix("www.")
    except ValueError:
        return ""


def _text(value: Any) -> str:
    return value.strip().lower() if isinstance(value, str) else ""
