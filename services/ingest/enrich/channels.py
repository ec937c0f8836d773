"""The channel a customer came by, after the default channel groups of Google Analytics 4. Pure.

docs/reference/ingest.md has the rules as a table.
"""

import re

from services.ingest.enrich.referrers import ASSISTANT, EMAIL, PAID, SEARCH, SOCIAL, VIDEO, Site

DIRECT = "direct"
CAMPAIGN = "campaign"
"""A campaign of which neither medium nor source is known."""
REFERRAL = "referral"

_NOT_GIVEN = frozenset({"", "(none)", "none", "(not_set)", "not_set", "(direct)"})
_PAID = re.compile(r".*cp.*|ppc|sem|retargeting|remarketing|paid.*")
_PAID_BY_KIND = {SEARCH: "paid_search", SOCIAL: "paid_social", VIDEO: "paid_video"}
_BY_KIND = {
    SEARCH: "organic_search",
    SOCIAL: "social",
    VIDEO: "video",
    EMAIL: "email",
    PAID: "display",
    ASSISTANT: "ai_assistant",
}
_PAID_MEDIA = {
    "cpc": "paid_search",
    "ppc": "paid_search",
    "sem": "paid_search",
    "paidsearch": "paid_search",
    "paid_search": "paid_search",
    "paidsocial": "paid_social",
    "paid_social": "paid_social",
    "paidvideo": "paid_video",
    "paid_video": "paid_video",
    "cpv": "paid_video",
    "cpm": "display",
}
_MEDIA = {
    "display": "display",
    "banner": "display",
    "expandable": "display",
    "interstitial": "display",
    "email": "email",
    "e_mail": "email",
    "mail": "email",
    "newsletter": "email",
    "affiliate": "affiliate",
    "affiliates": "affiliate",
    "audio": "audio",
    "podcast": "audio",
    "sms": "sms",
    "social": "social",
    "social_media": "social",
    "social_network": "social",
    "sm": "social",
}
_MEDIA_OF_SITES = {"organic": "organic_search", "referral": REFERRAL, "app": REFERRAL, "link": REFERRAL}
"""What says less than a source that is known."""


def given(text: str) -> bool:
    """Whether a medium or a source says anything."""
    return text.lower().replace(" ", "_") not in _NOT_GIVEN


def by_medium(medium: str, site: Site | None) -> str:
    """The channel of a campaign's medium, whose source is `site` if that is known; "" when the medium says nothing."""
    name = medium.lower().replace("-", "_").replace(" ", "_")
    kind = "" if site is None else site.kind
    if _PAID.fullmatch(name):
        named = _PAID_MEDIA.get(name, "paid_other")
        # What is paid by the click is what its source is; a medium that names its own kind is that.
        return named if name.startswith("paid") and name in _PAID_MEDIA else _PAID_BY_KIND.get(kind, named)
    if name in _MEDIA:
        return _MEDIA[name]
    if name in _MEDIA_OF_SITES:
        return _BY_KIND.get(kind, _MEDIA_OF_SITES[name])
    if name.endswith("push") or "notification" in name:
        return "push"
    return "video" if "video" in name else ""


def by_source(source: str, site: Site | None) -> str:
    """The channel of a campaign's source; "" when it is none that is known."""
    return by_site(site) if site is not None else _BY_SOURCE.get(source.lower().replace("-", "_"), "")


_BY_SOURCE = {name: _MEDIA[name] for name in ("email", "e_mail", "newsletter", "sms")}


def by_site(site: Site | None) -> str:
    """The channel of who came from a site; None: from one that is not known."""
    return REFERRAL if site is None else _BY_KIND.get(site.kind, REFERRAL)
