"""The sites people come from: whose a host is, and of which kind. Pure.

`referrers.txt` is made of a list that others keep (`make referrers`); what is not in it yet stands here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

SEARCH, SOCIAL, VIDEO, EMAIL, PAID, ASSISTANT, OTHER = (
    "search",
    "social",
    "video",
    "email",
    "paid",
    "assistant",
    "other",
)


class Site(NamedTuple):
    """Who is behind a host. The name is in lower case."""

    name: str
    kind: str


_KINDS = {"search": SEARCH, "social": SOCIAL, "email": EMAIL, "paid": PAID, "unknown": OTHER}
_VIDEO = frozenset({"youtube", "vimeo"})
"""Among the social networks of the list."""

NOT_LISTED = (
    ("search", "kagi", "kagi.com"),
    ("search", "startpage", "startpage.com"),
    ("social", "twitter", "x.com"),
    ("social", "threads", "threads.com l.threads.com"),
    ("social", "bluesky", "bsky.app"),
    ("social", "mastodon", "mastodon.social mastodon.online org.joinmastodon.android"),
    ("social", "discord", "discord.com"),
    ("social", "telegram", "t.me telegram.org"),
    (VIDEO, "twitch", "twitch.tv"),
    (VIDEO, "dailymotion", "dailymotion.com"),
    (ASSISTANT, "chatgpt", "chatgpt.com chat.openai.com"),
    (ASSISTANT, "claude", "claude.ai"),
    (ASSISTANT, "copilot", "copilot.microsoft.com"),
    (ASSISTANT, "deepseek", "chat.deepseek.com"),
    (ASSISTANT, "gemini", "gemini.google.com"),
    (ASSISTANT, "grok", "grok.com"),
    (ASSISTANT, "meta ai", "meta.ai"),
    (ASSISTANT, "mistral", "chat.mistral.ai"),
    (ASSISTANT, "perplexity", "perplexity.ai"),
)
"""Kind, name and hosts of what the list lacks."""
_ALSO_CALLED = {"fb": "facebook", "meta": "facebook", "ig": "instagram", "insta": "instagram", "yt": "youtube"}
"""What campaigns write as their source for it."""
_MOST_LABELS = 10
_SAME_SEARCH = frozenset({"m", "mobile", "search"})
"""Below a search engine's host, beside countries: other names are other services of its owner."""


def _listed() -> Iterator[tuple[str, str, str]]:
    text = Path(__file__).with_name("referrers.txt").read_text(encoding="utf-8")
    for line in text.splitlines():
        if not line.startswith("#"):
            kind, name, hosts = line.split("\t")
            yield kind, name.lower(), hosts


def _sites() -> Iterator[tuple[Site, str, str]]:
    for kind, name, hosts in (*_listed(), *NOT_LISTED):
        site = Site(name, VIDEO if name in _VIDEO else _KINDS.get(kind, kind))
        for address in hosts.split():
            host, _, path = address.removeprefix("www.").partition("/")
            yield site, host, path


_BY_HOST: dict[str, Site] = {host: site for site, host, path in _sites() if not path}
_BY_PATH: dict[str, tuple[Site, str]] = {host: (site, f"/{path}") for site, host, path in _sites() if path}
_BY_NAME: dict[str, Site] = {site.name: site for site, _, _ in _sites() if site.kind != OTHER}
_BY_NAME.update((short, _BY_NAME[name]) for short, name in _ALSO_CALLED.items())


def site_of(host: str, path: str = "") -> Site | None:
    """The site behind a host in lower case without `www.`, or behind one that it lies below; None: not known.

    `path` tells apart what shares a host, such as the mail of a portal.
    """
    part = _BY_PATH.get(host)
    if part is not None and path.startswith(part[1]):
        return part[0]
    found = _BY_HOST.get(host)
    if found is not None:
        return found
    for _ in range(_MOST_LABELS):
        label, _, host = host.partition(".")
        if "." not in host:
            break
        found = _BY_HOST.get(host)
        if found is not None:
            if found.kind == SEARCH and len(label) > 2 and label not in _SAME_SEARCH:
                return Site(found.name, OTHER)
            return found
    return None


def site_named(source: str) -> Site | None:
    """The site that a campaign calls its source, in lower case: `google`, `facebook.com`, `ig`."""
    return site_of(source.removeprefix("www.")) if "." in source else _BY_NAME.get(source)
