"""The page on which an event happened, as the context of an event says it. Pure."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from services.ingest.enrich.address import CAMPAIGN_MEMBERS


def page_context(url: str | None, referrer: str | None, title: str | None) -> dict[str, Any]:
    """Returns the member `page` of a context and, if the address has utm parameters, `campaign`."""
    context: dict[str, Any] = {}
    page = {name: text for name, text in (("url", url), ("referrer", referrer), ("title", title)) if text}
    if page:
        context["page"] = page
    if url and "utm_" in url:
        campaign = _campaign(url)
        if campaign:
            context["campaign"] = campaign
    return context


def _campaign(url: str) -> dict[str, str]:
    try:
        query = urlsplit(url).query
    except ValueError:  # the host is malformed
        return {}
    # A broken escape becomes U+FFFD; a NUL, which can not be stored, goes.
    return {
        CAMPAIGN_MEMBERS[name]: value.replace("\0", "") for name, value in parse_qsl(query) if name in CAMPAIGN_MEMBERS
    }
