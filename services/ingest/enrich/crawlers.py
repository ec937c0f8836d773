"""Recognises crawlers by their user agent. Pure.

The patterns come from the package crawler-user-agents, without its plain HTTP clients: search engines, link previews,
monitors and automated browsers are no customers, but apps and servers send with `okhttp` or `axios` for customers.
"""

import re
from functools import lru_cache

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MAX_USER_AGENT = 400
"""Maximum number of characters that are read of a user agent: a client that sends a new long one with each event must
not cost much time."""

_PREFIX = 3
"""Number of characters that literal patterns are indexed by; none of them is shorter."""

_ESCAPED = re.compile(r"\\([^\w\s])")
_SPECIAL = re.compile(r"[\\\[\](){}^$|?*+.]")
_patterns = [entry["pattern"] for entry in CRAWLER_USER_AGENTS_DATA if "http-library" not in entry.get("tags", ())]
# Nearly all patterns are literal text. An index by prefix finds those far faster than one large regular expression.
_by_prefix: dict[str, tuple[str, ...]] = {}
for _literal in (
    _ESCAPED.sub(r"\1", pattern) for pattern in _patterns if not _SPECIAL.search(_ESCAPED.sub("", pattern))
):
    _by_prefix[_literal[:_PREFIX]] = (*_by_prefix.get(_literal[:_PREFIX], ()), _literal)
_search = re.compile("|".join(pattern for pattern in _patterns if _SPECIAL.search(_ESCAPED.sub("", pattern)))).search


def is_crawler(user_agent: str) -> bool:
    """Returns whether the user agent is a crawler's, by its first `MAX_USER_AGENT` characters."""
    return _is_crawler(user_agent[:MAX_USER_AGENT])


@lru_cache(maxsize=4096)
def _is_crawler(head: str) -> bool:
    for start in range(len(head) - _PREFIX + 1):
        literals = _by_prefix.get(head[start : start + _PREFIX])
        if literals is not None and head.startswith(literals, start):
            return True
    return _search(head) is not None
