"""Recognises crawlers by their user agent. Pure.

The patterns come from the package crawler-user-agents, without its plain HTTP clients: search engines, link previews,
monitors and automated browsers are no customers, but apps and servers send with `okhttp` or `axios` for customers.

The package looks for its patterns anywhere in a text, and so takes people for crawlers: models of phones and the
browsers of messengers have names like theirs. Here a pattern counts for what it is, which the tests hold against the
user agents of 36,000 devices.
"""

import re
from functools import lru_cache
from pathlib import Path

from crawleruseragents import CRAWLER_USER_AGENTS_DATA

MAX_USER_AGENT = 400
"""Maximum number of characters that are read of a user agent: a client that sends a new long one with each event must
not cost much time."""

_PREFIX = 3
"""Number of characters that literal patterns are indexed by; none of them is shorter."""

_ESCAPED = re.compile(r"\\([^\w\s])")
_SPECIAL = re.compile(r"[\\\[\](){}^$|?*+.]")
_BUILD = re.compile(r"[A-Z0-9]{4}\\\.\d{6}\\\.")
"""A pattern that is the number of a build of Android: a crawler's devices have it, and those of people."""
_APPS = frozenset(
    {
        "Viber",
        "WhatsApp",
        "Podimo",
        "NewsBlur",
        "Sogou",
        "MetaIAB Facebook",
        r"mail\.ru",
        r"Code\/1\.",
        "Fluid",
        "Feedly",
        r"Overcast\/",
        r"PocketCasts\/",
        "inoreader",
        r"Grammarly\/",
        r"Instapaper\/",
        r"Notion\/",
        "Goodreads",
        r"Asana\/",
    }
)
"""Patterns that name apps of people too: a messenger fetches previews, and opens links in a browser of its own."""
_SERVERS = tuple(
    line
    for line in Path(__file__).with_name("servers.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
)
"""How the user agents begin of servers that report what customers did."""

_MODEL_COMMENT = re.compile(
    r"\((?=[^()]*\b(?:Android|Tizen|Mobile;|Linux; U;|SMART-TV|BlackBerry|Symbian|Windows Phone))"
    r"(?![^()]*(?:compatible;|\+http|bot[/;]|bot-Google|DuplexWeb))[^()]*(?:\([^()]*\)[^()]*)*\)?"
)
"""The comment of a user agent that has the model of a device in it, which may be called as a crawler is."""
_SAYS = ("compatible", "+http", "bot", "crawl", "spider", "scrap", "fetcher", "feed finder")
"""Words, in lower case, of which an agent that says that it is a robot has one."""
_NOT_SAYING = re.compile("compatible; msie|cubot")
_DEVICE = re.compile(r"AppleWebKit|Gecko/|Android|iPhone|iPad|\biOS\b|Darwin/|Dalvik/")
"""What a browser or an app of a person says."""
_ROBOT = re.compile(
    r"bot(?:/v?\d|;|\)|-|$)|(?:crawler|spider|scraper)(?:/v?\d|;|\)|$)"
    r"|(?:bot|crawler|spider|scraper|fetcher)[^()]{0,40}\(\+?https?:|compatible; [^;()]{2,60}; ?\+https?:"
    r"|^mozilla/.*\(\+https?:"
)
"""How a robot that is in no list calls itself, in lower case."""
_DRIVERS = ("Cypress", "CloudflareObservatory", "WebdriverIO", "TestCafe", "Nightwatch", "HtmlUnit", "SlimerJS",
            "CasperJS", "Playwright", "playwright/", "Rigor", "jsdom", "Scrapy", "Google-HotelAdsVerifier",
            "Google Page Speed Insights")  # fmt: skip
"""Robots that drive a browser, and are not in the package."""


class _Patterns:
    """Patterns that are looked for together, anywhere in a text or as whole words."""

    def __init__(self, patterns: list[str], *, words: bool) -> None:
        self._words = words
        # Nearly all patterns are literal text. An index by prefix finds those far faster than one large expression.
        self._by_prefix: dict[str, tuple[str, ...]] = {}
        special: list[str] = []
        for pattern in patterns:
            if _SPECIAL.search(_ESCAPED.sub("", pattern)):
                special.append(pattern)
            else:
                literal = _ESCAPED.sub(r"\1", pattern)
                key = literal[:_PREFIX]
                self._by_prefix[key] = (*self._by_prefix.get(key, ()), literal)
        self._search = re.compile("|".join(special)).search

    def found_in(self, text: str) -> bool:
        """Returns whether one of the patterns is in the text."""
        by_prefix = self._by_prefix
        for start in range(len(text) - _PREFIX + 1):
            literals = by_prefix.get(text[start : start + _PREFIX])
            if (
                literals is not None
                and text.startswith(literals, start)
                and (not self._words or any(_is_word(text, start, literal) for literal in literals))
            ):
                return True
        match = self._search(text)
        return match is not None and (not self._words or _is_word(text, match.start(), match[0]))


def _is_word(text: str, start: int, literal: str) -> bool:
    """Returns whether the literal stands at `start` as a whole word; capitals and digits may go on after it."""
    end = start + len(literal)
    if not text.startswith(literal, start) or (start and text[start - 1].isalnum() and literal[0].isalnum()):
        return False
    return (
        end >= len(text)
        or not literal[-1].isalnum()
        or not text[end].isalnum()
        or (literal[-1].islower() and not text[end].islower())
    )


_patterns = [
    entry["pattern"]
    for entry in CRAWLER_USER_AGENTS_DATA
    if "http-library" not in entry.get("tags", ()) and not _BUILD.match(entry["pattern"])
]
_anywhere = _Patterns([*_patterns, *_DRIVERS], words=False)
_words = _Patterns([*(pattern for pattern in _patterns if pattern not in _APPS), *_DRIVERS], words=True)


def is_crawler(user_agent: str) -> bool:
    """Returns whether the user agent is a crawler's, by its first `MAX_USER_AGENT` characters."""
    return _is_crawler(user_agent[:MAX_USER_AGENT])


def is_server(user_agent: str) -> bool:
    """Returns whether a crawler's user agent is that of a server, which may report what a customer did."""
    return user_agent.startswith(_SERVERS)


@lru_cache(maxsize=4096)
def _is_crawler(head: str) -> bool:
    head = _MODEL_COMMENT.sub("", head, count=1)
    lowered = _NOT_SAYING.sub("", head.lower())
    if any(word in lowered for word in _SAYS):
        return _anywhere.found_in(head) or _ROBOT.search(lowered) is not None
    return (_anywhere if _DEVICE.search(head) is None else _words).found_in(head)
