"""Crawlers, by the user agent that an event's context tells: a list that others keep, less what is none to us. Pure.

What visits a site by itself (search engines, previews, monitors, automated browsers) is no customer. A plain HTTP
client is no crawler here: apps and servers send with `okhttp` or `axios` for customers of flesh and blood.
"""

import re
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MAX_CHARACTERS = 400
"""Of a user agent that are looked at: whoever sends long ones, each another, must not buy much of our time."""

_ESCAPED = re.compile(r"\\([^\w\s])")
_SPECIAL = re.compile(r"[\\\[\](){}^$|?*+.]")
_patterns = [one["pattern"] for one in CRAWLER_USER_AGENTS_DATA if "http-library" not in one.get("tags", ())]
# Nearly all are plain text, which is found five times faster than a pattern is.
_texts = [_ESCAPED.sub(r"\1", one) for one in _patterns if not _SPECIAL.search(_ESCAPED.sub("", one))]
_search = re.compile("|".join(one for one in _patterns if _SPECIAL.search(_ESCAPED.sub("", one)))).search


def is_crawler(user_agent: str) -> bool:
    """Whether a crawler calls itself by this name."""
    return _is_crawler(user_agent[:MAX_CHARACTERS])


@lru_cache(maxsize=4096)
def _is_crawler(head: str) -> bool:
    return any(text in head for text in _texts) or _search(head) is not None
