"""The list of referring sites: the owner and the kind of a host. Pure.

`make referrers` writes `referrers.txt` from a package's list; `NOT_LISTED` adds the sites that the package lacks.
"""

import re
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
    (SEARCH, "kagi", "kagi.com"),
    (SEARCH, "startpage", "startpage.com"),
    (SEARCH, "google lens", "lens.google.com"),
    (SEARCH, "google", "284815942 com.google.googlemobile com.google.android.apps.searchlite"),
    (SEARCH, "bing", "com.microsoft.bing"),
    (SEARCH, "duckduckgo", "com.duckduckgo.mobile.android"),
    (SEARCH, "marginalia", "marginalia-search.com"),
    (SEARCH, "metager", "metager.org metager.de"),
    (SEARCH, "mojeek", "mojeek.com"),
    (SEARCH, "petal search", "petalsearch.com"),
    (SEARCH, "presearch", "presearch.com"),
    (SEARCH, "seznam", "seznam.cz"),
    (SEARCH, "sogou", "sogou.com"),
    (SEARCH, "swisscows", "swisscows.com"),
    (SEARCH, "yandex", "ya.ru"),
    (SEARCH, "yep", "yep.com"),
    (SOCIAL, "twitter", "x.com 333903271 com.atebits.tweetie2"),
    (SOCIAL, "threads", "threads.com l.threads.com"),
    (SOCIAL, "bluesky", "bsky.app xyz.blueskyweb.app"),
    (SOCIAL, "mastodon", "mastodon.social mastodon.online mas.to mstdn.social org.joinmastodon.android"),
    (SOCIAL, "facebook", "284882215 com.facebook.facebook com.facebook.lite"),
    (SOCIAL, "instagram", "389801252 com.burbn.instagram"),
    (SOCIAL, "linkedin", "288429040 com.linkedin.linkedin"),
    (SOCIAL, "pinterest", "429047995"),
    (SOCIAL, "reddit", "com.reddit.frontpage com.reddit.reddit 1064216828"),
    (SOCIAL, "snapchat", "447188370 com.toyopagroup.picaboo"),
    (SOCIAL, "tiktok", "com.zhiliaoapp.musically com.ss.android.ugc.trill 835599320"),
    (SOCIAL, "lemmy", "lemmy.world"),
    (SOCIAL, "linktree", "linktr.ee"),
    (SOCIAL, "nextdoor", "nextdoor.com"),
    (SOCIAL, "product hunt", "producthunt.com"),
    (SOCIAL, "truth social", "truthsocial.com"),
    (SOCIAL, "xiaohongshu", "xiaohongshu.com"),
    (SOCIAL, "discord", "discord.com discordapp.com com.discord 985746746"),
    (SOCIAL, "google chat", "chat.google.com hangouts.google.com"),
    (SOCIAL, "kakao", "kakao.com com.kakao.talk"),
    (SOCIAL, "line", "line.me jp.naver.line.android"),
    (SOCIAL, "messenger", "messenger.com m.me com.facebook.orca 454638411"),
    (SOCIAL, "signal", "signal.org signal.me org.thoughtcrime.securesms"),
    (SOCIAL, "slack", "618783545"),
    (
        SOCIAL,
        "teams",
        "teams.microsoft.com teams.live.com teams.cloud.microsoft statics.teams.cdn.office.net com.microsoft.teams",
    ),
    (SOCIAL, "telegram", "t.me telegram.me telegram.org 686449807 ph.telegra.telegraph"),
    (SOCIAL, "viber", "viber.com com.viber.voip"),
    (SOCIAL, "wechat", "wechat.com weixin.qq.com com.tencent.mm"),
    (SOCIAL, "whatsapp", "whatsapp.com wa.me com.whatsapp.w4b 310633997 net.whatsapp.whatsapp"),
    (SOCIAL, "zalo", "zalo.me com.zing.zalo"),
    (VIDEO, "bilibili", "bilibili.com"),
    (VIDEO, "dailymotion", "dailymotion.com"),
    (VIDEO, "kick", "kick.com"),
    (VIDEO, "odysee", "odysee.com"),
    (VIDEO, "rumble", "rumble.com"),
    (VIDEO, "twitch", "twitch.tv tv.twitch.android.app"),
    (VIDEO, "youtube", "com.google.android.youtube com.google.ios.youtube 544007664"),
    (EMAIL, "apple mail", "com.apple.mobilemail icloud.com/mail"),
    (EMAIL, "fastmail", "fastmail.com"),
    (EMAIL, "gmail", "422689480 com.google.gmail"),
    (EMAIL, "gmx", "3c.gmx.net 3c-bs.gmx.net navigator.gmx.net navigator-bs.gmx.net de.gmx.mobile.android.mail"),
    (EMAIL, "hey", "hey.com"),
    (EMAIL, "mailbox.org", "mailbox.org"),
    (EMAIL, "outlook.com", "outlook.com outlook.office.com outlook.office365.com outlook.cloud.microsoft 951937596"),
    (EMAIL, "posteo", "posteo.de"),
    (EMAIL, "thunderbird", "org.mozilla.thunderbird net.thunderbird.android"),
    (EMAIL, "tuta", "tuta.com tutanota.com mail.tuta.io"),
    (EMAIL, "web.de", "navigator.web.de navigator-bs.web.de de.web.mobile.android.mail"),
    (ASSISTANT, "chatgpt", "chatgpt.com chat.openai.com com.openai.chatgpt com.openai.chat 6448311069"),
    (ASSISTANT, "character.ai", "character.ai"),
    (ASSISTANT, "claude", "claude.ai claude.com com.anthropic.claude 6473753684"),
    (
        ASSISTANT,
        "copilot",
        "copilot.microsoft.com copilot.com copilot.cloud.microsoft m365.cloud.microsoft edgeservices.bing.com "
        "com.microsoft.copilot",
    ),
    (ASSISTANT, "deepseek", "chat.deepseek.com deepseek.com"),
    (ASSISTANT, "doubao", "doubao.com"),
    (ASSISTANT, "duck.ai", "duck.ai"),
    (ASSISTANT, "felo", "felo.ai"),
    (ASSISTANT, "gemini", "gemini.google.com bard.google.com com.google.android.apps.bard"),
    (ASSISTANT, "genspark", "genspark.ai"),
    (ASSISTANT, "grok", "grok.com grok.x.ai x.ai"),
    (ASSISTANT, "iask", "iask.ai"),
    (ASSISTANT, "kimi", "kimi.com kimi.moonshot.cn"),
    (ASSISTANT, "lumo", "lumo.proton.me"),
    (ASSISTANT, "meta ai", "meta.ai"),
    (ASSISTANT, "mistral", "chat.mistral.ai mistral.ai"),
    (ASSISTANT, "notebooklm", "notebooklm.google.com"),
    (ASSISTANT, "perplexity", "perplexity.ai perplexity.com ai.perplexity.app.android 1668000334"),
    (ASSISTANT, "phind", "phind.com"),
    (ASSISTANT, "pi", "pi.ai"),
    (ASSISTANT, "poe", "poe.com"),
    (ASSISTANT, "qwen", "qwen.ai chat.qwen.ai"),
    (ASSISTANT, "yuanbao", "yuanbao.tencent.com"),
    (ASSISTANT, "you.com", "you.com"),
    (ASSISTANT, "z.ai", "z.ai"),
)
"""Kind, name and hosts of sites that the package lacks, with their apps: a package, or its number in a store."""
_ALIASES = {
    "fb": "facebook",
    "meta": "facebook",
    "ig": "instagram",
    "insta": "instagram",
    "microsoft": "bing",
    "outlook": "outlook.com",
    "vk": "vkontakte",
    "x": "twitter",
    "yahoo": "yahoo!",
    "yt": "youtube",
}
"""Names that campaigns use as their source -> name of the site."""
_MAX_LABELS = 10
"""Maximum number of labels that are removed from a host to find a listed one above it."""
_WEBMAIL = re.compile(
    r"(?:webmail[a-z0-9-]*|e?mail\d*|freemail|poczta|owa|roundcube|zimbra|squirrelmail|outlook)\.[^.]+\."
)
_WEBMAIL_PATH = re.compile(r"/(?:owa|webmail|roundcube|zimbra|squirrelmail|SOGo)(?:/|$)")
"""Hosts and paths of the mail programs that companies and providers run themselves."""
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
_BY_PATH: dict[str, list[tuple[str, Site]]] = {}
for _site, _host, _path in _sites():
    if _path:
        _BY_PATH.setdefault(_host, []).append((f"/{_path}", _site))
_BY_NAME: dict[str, Site] = {site.name: site for site, _, _ in _sites() if site.kind != OTHER}
_BY_NAME.update((alias, _BY_NAME[name]) for alias, name in _ALIASES.items())


def site_of(host: str, path: str = "") -> Site | None:
    """Returns the site of a host (lower case, without `www.`) or of the nearest listed host above it, or None.

    `path` tells sites apart that share a host, such as the mail service of a portal.
    """
    whole, label = host, ""
    for _ in range(_MAX_LABELS + 1):
        for prefix, site in _BY_PATH.get(host, ()):
            if path.startswith(prefix):
                return site
        listed = _BY_HOST.get(host)
        if listed is not None:
            is_other_service = listed.kind == SEARCH and len(label) > 2 and label not in _SEARCH_LABELS
            if is_other_service and _WEBMAIL.match(whole):
                return Site(listed.name, EMAIL)
            return Site(listed.name, OTHER) if is_other_service else listed
        label, _, host = host.partition(".")
        if "." not in host:
            break
    return Site(whole, EMAIL) if _WEBMAIL.match(whole) or _WEBMAIL_PATH.match(path) else None


def site_named(source: str) -> Site | None:
    """Returns the site that a campaign names as its source, in lower case: `google`, `facebook.com`, `ig`."""
    return _BY_NAME.get(source) or (site_of(source.removeprefix("www.")) if "." in source else None)
