"""Click ids: what advertisers' platforms add to the address of a page, so that they can tell who came by them. Pure."""

from typing import NamedTuple


class Click(NamedTuple):
    """What a click id proves: the channel, and the source and medium of an event that names none."""

    channel: str
    source: str
    medium: str


CLICKS = {
    "gclid": Click("paid_search", "google", "cpc"),
    "gbraid": Click("paid_search", "google", "cpc"),
    "wbraid": Click("paid_search", "google", "cpc"),
    "dclid": Click("display", "google", "display"),
    "msclkid": Click("paid_search", "bing", "cpc"),
    "yclid": Click("paid_search", "yandex", "cpc"),
    "ttclid": Click("paid_social", "tiktok", "cpc"),
    "twclid": Click("paid_social", "twitter", "cpc"),
    "li_fat_id": Click("paid_social", "linkedin", "cpc"),
    "sccid": Click("paid_social", "snapchat", "cpc"),
    "rdt_cid": Click("paid_social", "reddit", "cpc"),
    "qclid": Click("paid_social", "quora", "cpc"),
    "dicbo": Click("display", "outbrain", "display"),
    "tblci": Click("display", "taboola", "display"),
    "irclickid": Click("affiliate", "impact", "affiliate"),
    "cjevent": Click("affiliate", "cj", "affiliate"),
    "awc": Click("affiliate", "awin", "affiliate"),
    "ransiteid": Click("affiliate", "rakuten", "affiliate"),
    # These three are added to links that nobody paid for, too.
    "fbclid": Click("social", "facebook", "social"),
    "igsh": Click("social", "instagram", "social"),
    "epik": Click("social", "pinterest", "social"),
    "srsltid": Click("organic_search", "google", "organic"),
}
"""By name in lower case; of several that an event carries the first here decides."""
