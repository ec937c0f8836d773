"""The rules by which a medium, a source or a referring site makes a channel. Pure.

They follow the default channel groups of Google Analytics 4; docs/reference/attribution.md has them as a table.
"""

import re

from services.ingest.enrich.referrers import ASSISTANT, EMAIL, PAID, SEARCH, SOCIAL, VIDEO, Site, site_named

DIRECT = "direct"
CAMPAIGN = "campaign"
"""The channel of a campaign whose medium and source are both unknown."""
REFERRAL = "referral"

_NOT_SET = frozenset({"", "(none)", "none", "(not_set)", "not_set", "(direct)"})
_PAID = re.compile(
    r".*cp.*|retargeting|remarketing|paid.*|.*_paid"
    r"|(?:.*_)?(?:ppc|sem|sea|dsa|pla|pmax|performance_?max|demand_?gen|adwords|googleads|facebookads)(?:_.*)?"
    r"|(?!.*video)(?:.*_)?(?:ads?|sponsored|promoted|boosted|advert|advertising|advertisement)"
    r"|(?:sponsored|promoted|boosted)_.*"
)
_ADS = re.compile(r"(.+?)[_\s.-]*(?:ads?|adwords)")
"""A source or a medium that names a site's ads: `google_ads`, `facebook-ads`."""
_AD_WORDS = {
    "adwords": "google",
    "googleads": "google",
    "doubleclick": "google",
    "pmax": "google",
    "x_ads": "twitter",
    "x-ads": "twitter",
}
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
_GENERAL_MEDIA = {"organic": "organic_search", "referral": REFERRAL, "app": REFERRAL, "link": REFERRAL}
"""Media that say less than the kind of a listed source, which therefore wins over them."""
_SOURCES = {name: _MEDIA[name] for name in ("email", "e_mail", "newsletter", "sms")}
"""Sources that are no site, but name a channel."""


def is_set(text: str) -> bool:
    """Returns whether a medium or a source is more than a placeholder such as `(none)`."""
    return text.lower().replace(" ", "_") not in _NOT_SET


def by_medium(medium: str, source: Site | None) -> str:
    """Returns the channel of a campaign's medium, or "" if the medium decides nothing.

    `source` is the campaign's source if that is a listed site: a general medium has the channel of its source.
    """
    name = medium.lower().replace("-", "_").replace(" ", "_")
    kind = "" if source is None else source.kind
    if name.startswith(("display_", "banner_")):
        return "display"
    if _PAID.fullmatch(name):
        channel = _PAID_MEDIA.get(name, "paid_other")
        if channel == "paid_other" and kind == "":
            channel = next((_PAID_MEDIA[each] for each in _PAID_MEDIA if name.endswith(f"_{each}")), channel)
        # `paid_social` names its kind itself; `cpc` says only that clicks are paid for, and the source says which.
        return channel if name.startswith("paid") and name in _PAID_MEDIA else _PAID_BY_KIND.get(kind, channel)
    if name in _MEDIA:
        return _MEDIA[name]
    if name in _GENERAL_MEDIA:
        return _BY_KIND.get(kind, _GENERAL_MEDIA[name])
    if name.endswith("push") or "notification" in name:
        return "push"
    return "video" if "video" in name else ""


def is_paid(medium: str) -> bool:
    """Returns whether a medium says that somebody paid for the visit."""
    return _PAID.fullmatch(medium.lower().replace("-", "_").replace(" ", "_")) is not None


def named_by_ads(text: str) -> Site | None:
    """Returns the site whose ads a source or a medium names: `google_ads`, `facebook-ads`, `adwords`."""
    name = text.lower()
    if name in _AD_WORDS:
        return site_named(_AD_WORDS[name])
    match = _ADS.fullmatch(name)
    return site_named(match[1]) if match is not None else None


def by_source(source: str, site: Site | None, *, is_tagged: bool) -> str:
    """Returns the channel of a campaign's source, which is `site` if listed; "" if the source decides nothing.

    `is_tagged` says that the link has a medium, which nobody knows: a search engine's own links have none.
    """
    if site is not None and (named_by_ads(source) is not None or (is_tagged and site.kind == SEARCH)):
        return _PAID_BY_KIND.get(site.kind, "paid_other")
    return by_site(site) if site is not None else _SOURCES.get(source.lower().replace("-", "_"), "")


def by_site(site: Site | None) -> str:
    """Returns the channel of a visitor whom a site referred; None stands for any site that is not listed."""
    return REFERRAL if site is None else _BY_KIND.get(site.kind, REFERRAL)
