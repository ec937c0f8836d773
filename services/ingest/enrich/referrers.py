"""The list of referring sites: the owner and the kind of a host. Pure.

`make referrers` writes `referrers.txt` from a package's list; `NOT_LISTED` adds the sites that the package lacks.
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
    """A listed site. The name is in lower case."""

    name: str
    kind: str


_KINDS = {"search": SEARCH, "social": SOCIAL, "email": EMAIL, "paid": PAID, "unknown": OTHER}
_VIDEO = frozenset({"youtube", "vimeo"})
"""Names that the package lists among the social networks."""

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
"""Kind, name and hosts of sites that the package lacks."""
_ALIASES = {"fb": "facebook", "meta": "facebook", "ig": "instagram", "insta": "instagram", "yt": "youtube"}
"""Abbreviations that campaigns use as their source -> name of the site."""
_MAX_LABELS = 10
"""Maximum number of labels that are removed from a host to find a listed one above it."""
_SEARCH_LABELS = frozenset({"m", "mobile", "search"})
"""Labels that leave a search engine the engine it is, as two-letter countries do. Others are other services."""


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
_BY_NAME.update((alias, _BY_NAME[name]) for alias, name in _ALIASES.items())


def site_of(host: str, path: str = "") -> Site | None:
    """Returns the site of a host (lower case, without `www.`) or of the nearest listed host above it, or None.

    `path` tells sites apart that share a host, such as the mail service of a portal.
    """
    with_path = _BY_PATH.get(host)
    if with_path is not None and path.startswith(with_path[1]):
        return with_path[0]
    site = _BY_HOST.get(host)
    if site is not None:
        return site
    for _ in range(_MAX_LABELS):
        label, _, host = host.partition(".")
        if "." not in host:
            break
        site = _BY_HOST.get(host)
        if site is not None:
            is_other_service = site.kind == SEARCH and len(label) > 2 and label not in _SEARCH_LABELS
            return Site(site.name, OTHER) if is_other_service else site
    return None


def site_named(source: str) -> Site | None:
    """Returns the site that a campaign names as its source, in lower case: `google`, `facebook.com`, `ig`."""
    return site_of(source.removeprefix("www.")) if "." in source else _BY_NAME.get(source)
