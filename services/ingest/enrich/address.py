"""What an address says of where its visitor came from: a host, and what campaigns wrote into the query. Pure."""

import re
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import unquote_plus

from services.ingest.enrich.click_ids import CLICKS

MAX_ADDRESS = 4096
"""Characters of an address that are looked at."""
MAX_TEXT = 256
"""Characters of any text that is kept."""
_MAX_PARAMETERS = 100

UTM = {
    "utm_source": "source",
    "utm_medium": "medium",
    "utm_campaign": "campaign",
    "utm_term": "term",
    "utm_content": "content",
}
CODES = ("referral_code", "ref", "via")
"""Parameters that carry a referral code; the first that is given counts."""

_WANTED = frozenset({*UTM, *CLICKS, *CODES})
_UNKEPT = re.compile("[\0-\x1f\x7f\ud800-\udfff]")


class Landing(NamedTuple):
    """An address, as far as it matters."""

    host: str
    """In lower case, without `www.`; "" for what is no address."""
    path: str
    said: dict[str, str]
    """utm parameters, click ids and referral codes of the query, by their names in lower case."""


NOWHERE = Landing("", "", {})


def clean(text: str) -> str:
    """A text as it may be kept: not too long, without control characters and halves of characters."""
    text = text[:MAX_TEXT]
    return (text if text.isprintable() else _UNKEPT.sub("", text)).strip()


@lru_cache(maxsize=1024)
def landing(url: str) -> Landing:
    """Reads an address; without a scheme it has to have a dot in what could be its host.

    By hand: `urlsplit` raises for what is none, and takes ten times as long.
    """
    rest, _, _ = url[:MAX_ADDRESS].partition("#")
    scheme, found, rest = rest.partition("://")
    rest, _, query = (rest if found else scheme).partition("?")
    place, _, path = rest.partition("/")
    place = place.rpartition("@")[2]
    host = place[1:].partition("]")[0] if place.startswith("[") else place.partition(":")[0]
    host = host.strip().rstrip(".").lower().removeprefix("www.")
    if not host or len(host) > MAX_TEXT or not (found or "." in host) or not host.isprintable() or " " in host:
        return NOWHERE
    return Landing(host, f"/{path}", _said(query) if "=" in query else {})


def _said(query: str) -> dict[str, str]:
    said: dict[str, str] = {}
    for parameter in query.split("&", _MAX_PARAMETERS)[:_MAX_PARAMETERS]:
        name, _, value = parameter.partition("=")
        name = name.lower()
        if name not in _WANTED or not value or name in said:
            continue
        if "%" in value or "+" in value:
            value = unquote_plus(value, errors="replace")  # a broken escape becomes U+FFFD
        # Of a click id that does not fit nothing is kept: cut off, it names nothing.
        if name not in CLICKS or len(value) <= MAX_TEXT:
            value = clean(value)
            if value:
                said[name] = value
    return said
