"""Parses a web address, of a landing page or a referrer, into host, path and campaign parameters. Pure."""

import contextlib
import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

from services.ingest.enrich.click_ids import CLICK_IDS

MAX_ADDRESS = 4096
"""Maximum number of characters that are read of an address."""
MAX_TEXT = 256
"""Maximum number of characters of any stored text."""
_MAX_PARAMETERS = 100

UTM_FACTS = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_term": "term",
    "utm_content": "content",
}
"""Parameter of an address -> member of the stored attribution."""
CAMPAIGN_MEMBERS = UTM_FACTS | {"utm_campaign": "name"}
"""Parameter of an address -> member of `context.campaign`, as Segment's libraries fill it."""
REFERRAL_CODES = ("referral_code", "ref", "via")
"""Parameters that carry a referral code, the most explicit first."""

_PARAMETERS = frozenset({*UTM_FACTS, *CLICK_IDS, *REFERRAL_CODES})
_NOT_STORABLE = re.compile("[\0-\x1f\x7f\ud800-\udfff]")


class Address(NamedTuple):
    """The parts of an address that attribution uses."""

    host: str
    """Lower case, without `www.`, in Unicode; "" if the text is no address."""
    path: str
    params: dict[str, str]
    """utm parameters, click ids and referral codes of the query, and of the one behind `#`, by name in lower case."""


NO_ADDRESS = Address("", "", {})


def clean(text: str) -> str:
    """Returns the first `MAX_TEXT` characters, trimmed, without control characters and lone surrogates."""
    text = text[:MAX_TEXT]
    return (text if text.isprintable() else _NOT_STORABLE.sub("", text)).strip()


@lru_cache(maxsize=1024)
def parse_address(url: str) -> Address:
    """Returns the parts of an address, or `NO_ADDRESS`. A text without a scheme is one if its host has a dot.

    Splits by hand: `urlsplit` raises for malformed hosts and takes ten times as long.
    """
    rest, _, fragment = url[:MAX_ADDRESS].partition("#")
    scheme, has_scheme, rest = rest.partition("://")
    rest, _, query = (rest if has_scheme else scheme).partition("?")
    authority, _, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    host = authority[1:].partition("]")[0] if authority.startswith("[") else authority.partition(":")[0]
    host = host.strip().rstrip(".").lower().removeprefix("www.")
    if "xn--" in host or not host.isascii():
        host = _unicode_host(host)
    if not host or len(host) > MAX_TEXT or not (has_scheme or "." in host) or not host.isprintable() or " " in host:
        return NO_ADDRESS
    params = _params(query) if "=" in query else {}
    if "=" in fragment:  # an app that routes by it has its query there: `#/shoes?utm_source=mail`
        _, has_query, after = fragment.partition("?")
        params = _params(after if has_query else fragment) | params
    return Address(host, f"/{path}", params)


def _unicode_host(host: str) -> str:
    """Returns a host with its labels in Unicode, NFC, whether they were sent so or in Punycode."""
    labels = []
    for label in host.split("."):
        if label.startswith("xn--"):
            with contextlib.suppress(UnicodeError):
                label = label[4:].encode("ascii").decode("punycode").lower()
        labels.append(label)
    return unicodedata.normalize("NFC", ".".join(labels))


def _params(query: str) -> dict[str, str]:
    params: dict[str, str] = {}
    for parameter in query.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = parameter.partition("=")
        name = name.lower()
        if name not in _PARAMETERS or not value or name in params:
            continue
        if "%" in value or "+" in value:
            value = unquote_plus(value, errors="replace")  # a broken escape becomes U+FFFD
        # A click id that is too long is left out: a truncated one identifies no click.
        if name not in CLICK_IDS or len(value) <= MAX_TEXT:
            value = clean(value)
            if value:
                params[name] = value
    return params
