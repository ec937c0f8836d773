"""The websites that may send to a source: compared as hosts, never as pieces of text. Pure."""

from collections.abc import Mapping
from functools import lru_cache

from throughline.kit.websites import Website, website_of

MAX_ORIGIN = 512
"""Maximum number of bytes of an origin that is looked at."""
_OWN_SITE = b"same-origin"


def foreign_origin(allowed: tuple[str, ...], headers: Mapping[bytes, bytes]) -> str:
    """Returns where a request comes from that no website of `allowed` sends, "" for one that may be taken.

    A browser names its page's origin in `Origin`. Where it leaves that out, as for an image, `Referer` and
    `Sec-Fetch-Site` tell. A request with none of the three comes from no browser.
    """
    origin = headers.get(b"origin")
    if origin is None:
        origin = headers.get(b"referer")
        if origin is None:
            site = headers.get(b"sec-fetch-site", _OWN_SITE)
            return "" if site == _OWN_SITE else "a page that does not say which it is"
        origin = b"/".join(origin.split(b"/", 3)[:3])
    text = origin[:MAX_ORIGIN].decode("utf-8", "replace")
    return "" if _is_allowed(allowed, text) else text or "an origin without a name"


@lru_cache(maxsize=4096)
def _is_allowed(allowed: tuple[str, ...], origin: str) -> bool:
    sender = website_of(origin)
    if sender is None or sender.is_below:
        return origin == "null" and origin in allowed
    return any(_includes(website, sender) for text in allowed if (website := website_of(text)) is not None)


def _includes(website: Website, sender: Website) -> bool:
    if website.is_below:
        below = f".{website.host}"
        return website._replace(host=sender.host, is_below=False) == sender and sender.host.endswith(below)
    return website == sender
