"""Crawlers, by the user agent that an event's context tells: a list that others keep, less what is none to us. Pure.

What visits a site by itself (search engines, previews, monitors, automated browsers) is no customer. A plain HTTP
client is no crawler here: apps and servers send with `okhttp` or `axios` for customers of flesh and blood.
"""

import re
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MAX_CHARACTERS = 400
"""Of a user agent that are looked at: whoever sends long ones, each another, must not buy much of our time."""

START = 3
"""Characters, fewer than which no text has."""

_ESCAPED = re.compile(r"\\([^\w\s])")
_SPECIAL = re.compile(r"[\\\[\](){}^$|?*+.]")
_patterns = [one["pattern"] for one in CRAWLER_USER_AGENTS_DATA if "http-library" not in one.get("tags", ())]
# Nearly all are plain text. They are looked up by how they begin, at each place of a user agent.
_texts: dict[str, tuple[str, ...]] = {}
for _text in (_ESCAPED.sub(r"\1", one) for one in _patterns if not _SPECIAL.search(_ESCAPED.sub("", one))):
    _texts[_text[:START]] = (*_texts.get(_text[:START], ()), _text)
_search = re.compile("|".join(one for one in _patterns if _SPECIAL.search(_ESCAPED.sub("", one)))).search


def is_crawler(user_agent: str) -> bool:
    """Whether a crawler calls itself by this name."""
    return _is_crawler(user_agent[:MAX_CHARACTERS])


@lru_cache(maxsize=4096)
def _is_crawler(head: str) -> bool:
    for place in range(len(head) - START + 1):
        texts = _texts.get(head[place : place + START])
        if texts is not None and head.startswith(texts, place):
            return True
    return _search(head) is not None
