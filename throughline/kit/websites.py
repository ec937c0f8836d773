"""Origins of web pages, in the one form in which they can be compared. Pure."""

from typing import NamedTuple
from urllib.parse import urlsplit

import idna

_PORTS = {"http": 80, "https": 443}


class Website(NamedTuple):
    """An origin, or all origins below a host."""

    scheme: str
    host: str
    """In lower case, an international name in its ASCII form (xn--)."""
    port: int | None
    """The scheme's own where none is given."""
    is_below: bool
    """Whether every host below this one is meant, and not this one itself."""


def website_of(text: str) -> Website | None:
    """Returns the website of an origin as browsers send it or people write it (https://*.shop.example: all below);
    None for what is none."""
    scheme, separator, rest = text.strip().partition("://")
    is_below = rest.startswith("*.")
    try:
        parts = urlsplit(f"{scheme}{separator}{rest.removeprefix('*.')}")
        host, port = (parts.hostname or "").rstrip("."), parts.port
        if not host.isascii():
            host = idna.encode(host, uts46=True).decode()
    except ValueError:  # IDNAError is one
        return None
    if not separator or not all(host.split(".")) or parts.username is not None or parts.path not in ("", "/"):
        return None
    if parts.query or parts.fragment:
        return None
    return Website(scheme.lower(), host, port or _PORTS.get(scheme.lower()), is_below)


def origin_text(website: Website) -> str:
    """Returns a website as text, without the port that its scheme has anyway."""
    port = "" if website.port in (None, _PORTS.get(website.scheme)) else f":{website.port}"
    host = f"[{website.host}]" if ":" in website.host else website.host
    return f"{website.scheme}://{'*.' if website.is_below else ''}{host}{port}"
