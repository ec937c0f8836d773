"""Click ids: parameters by which advertising platforms recognise the visitors they sent to a page. Pure."""

from typing import NamedTuple


class ClickId(NamedTuple):
    """What a click id proves: the channel, and source and medium for an event that names neither."""

    channel: str
    source: str
    medium: str


CLICK_IDS = {
    "gclid": ClickId("paid_search", "google", "cpc"),
    "gbraid": ClickId("paid_search", "google", "cpc"),
    "wbraid": ClickId("paid_search", "google", "cpc"),
    "dclid": ClickId("display", "google", "display"),
    "msclkid": ClickId("paid_search", "bing", "cpc"),
    "yclid": ClickId("paid_search", "yandex", "cpc"),
    "ttclid": ClickId("paid_social", "tiktok", "cpc"),
    "twclid": ClickId("paid_social", "twitter", "cpc"),
    "li_fat_id": ClickId("paid_social", "linkedin", "cpc"),
    "sccid": ClickId("paid_social", "snapchat", "cpc"),
    "rdt_cid": ClickId("paid_social", "reddit", "cpc"),
    "qclid": ClickId("paid_social", "quora", "cpc"),
    "dicbo": ClickId("display", "outbrain", "display"),
    "tblci": ClickId("display", "taboola", "display"),
    "irclickid": ClickId("affiliate", "impact", "affiliate"),
    "cjevent": ClickId("affiliate", "cj", "affiliate"),
    "awc": ClickId("affiliate", "awin", "affiliate"),
    "ransiteid": ClickId("affiliate", "rakuten", "affiliate"),
    # No ids of a click, but Google adds them to the links of its ads alone.
    "gad_source": ClickId("paid_search", "google", "cpc"),
    "gad_campaignid": ClickId("paid_search", "google", "cpc"),
    # The platforms add these four to unpaid links as well.
    "fbclid": ClickId("social", "facebook", "social"),
    "igsh": ClickId("social", "instagram", "social"),
    "epik": ClickId("social", "pinterest", "social"),
    "srsltid": ClickId("organic_search", "google", "organic"),
}
"""By name in lower case, in order of precedence: the first one that an event carries decides."""
