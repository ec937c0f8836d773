"""What kind of device an event was sent from, and its operating system. Pure.

The system is found by `ua-parser` with the patterns its project keeps, in compiled code whose time grows with the
length only. It knows models by the thousand but not what they are: which class that makes is decided here.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from ua_parser import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from services.ingest.enrich.address import clean

MAX_CHARACTERS = 400
"""Of a user agent that are looked at: whoever sends long ones, each another, must not buy much of our time."""


class Device(NamedTuple):
    """`type` is desktop, mobile, tablet, tv, console or wearable; both are "" when nothing tells."""

    type: str
    os: str


class Signs(NamedTuple):
    """What a context says of it: text as sent, "" and None for what it does not say."""

    agent: str
    mobile: bool | None
    """By the browser's client hints."""
    platform: str
    type: str
    model: str
    os: str


UNKNOWN = Device("", "")
_HINTS = frozenset({"userAgent", "userAgentData", "device", "os"})
_TYPES = {
    "desktop": "desktop",
    "laptop": "desktop",
    "pc": "desktop",
    "mobile": "mobile",
    "phone": "mobile",
    "smartphone": "mobile",
    "handset": "mobile",
    "tablet": "tablet",
    "tv": "tv",
    "smarttv": "tv",
    "console": "console",
    "wearable": "wearable",
    "watch": "wearable",
}
"""What apps and servers write as `context.device.type`; mobile libraries have the name of the system there.

GA4 calls it `category`, and its `operating_system` stands beside it.
"""
_BY_OS = {
    "ios": "mobile",
    "android": "mobile",
    "kaios": "mobile",
    "harmonyos": "mobile",
    "windows phone": "mobile",
    "ipados": "tablet",
    "tvos": "tv",
    "webos": "tv",
    "tizen": "tv",
    "watchos": "wearable",
    "wear os": "wearable",
    "macos": "desktop",
    "windows": "desktop",
    "linux": "desktop",
    "ubuntu": "desktop",
    "fedora": "desktop",
    "debian": "desktop",
    "freebsd": "desktop",
    "openbsd": "desktop",
    "chrome os": "desktop",
    "chromium os": "desktop",
}
_OS_NAMES = {"atv os x": "tvOS", "mac os x": "macOS", "mac os": "macOS", "os x": "macOS", "iphone os": "iOS"}
_MODELS = (("ipad", "tablet"), ("iphone", "mobile"), ("ipod", "mobile"), ("appletv", "tv"), ("watch", "wearable"))
"""How Apple's names of models begin."""

_WORDS = (
    ("console", ("playstation", "nintendo", "xbox")),
    (
        "tv",
        (
            *("smarttv", "smart-tv", "smart tv", "appletv", "apple tv", "googletv", "google tv", "android tv", "hbbtv"),
            *(" tv ", " tv;", " tv)", " tv/", "mitv", "web0s", "netcast", "roku", "bravia", "crkey", "viera", "vizios"),
        ),
    ),
    ("wearable", ("watchos", "apple watch", "applewatch", "smartwatch", "wear os", "wearos")),
    (
        "tablet",
        ("ipad", "tablet;", "tablet)", "tablet ", "playbook", "kindle", "xoom", "nexus 7", "nexus 9", "nexus 10"),
    ),
    ("mobile", ("mobi", "iphone", "ipod", "opera mini", "blackberry", "bb10", "windows phone", "symbian", "midp")),
)
"""What user agents of a class have in them, in lower case; the first class that fits."""
_NO_TABLET = "tablet pc"
"""Old Windows says so of any computer."""
_MODEL = re.compile(r"\b(?:(AFT[A-Z])|KF[A-Z]{2,5}\b|SM-[TX]\d|GT-P\d)")
"""Fire TV sticks, and tablets of Amazon and Samsung."""

_parse = Resolver(([], load_lazy_builtins()[1], []))


def signs_of(context: dict[str, Any]) -> Signs | None:
    """What a context holds that tells of the device; None: nothing."""
    if _HINTS.isdisjoint(context):
        return None
    device, os, hints = context.get("device"), context.get("os"), context.get("userAgentData")
    mobile = hints.get("mobile") if type(hints) is dict else None
    return Signs(
        _text(context, "userAgent"),
        mobile if type(mobile) is bool else None,
        _text(hints, "platform"),
        _text(device, "type") or _text(device, "category"),
        _text(device, "model"),
        _text(os, "name") or _text(device, "operating_system"),
    )


def device_of(signs: Signs) -> Device:
    """The device, by the most certain that is given: what the app says, the browser's hints, its user agent."""
    told = _of_agent(signs.agent) if signs.agent else UNKNOWN
    os = clean(_os_name(signs.os or signs.platform)) or told.os
    return Device(_of_app(signs.type.lower(), signs.model.lower()) or _of_hints(signs.mobile, told, os), os)


def _of_app(kind: str, model: str) -> str:
    """What an app says of the device it runs on."""
    if kind in _TYPES:
        return _TYPES[kind]
    if kind in _BY_OS:
        return next((found for start, found in _MODELS if model.startswith(start)), _BY_OS[kind])
    return ""


def _of_hints(mobile: bool | None, told: Device, os: str) -> str:
    """What a browser says of itself: it knows best whether it is a phone's."""
    if mobile:
        return "mobile"
    if mobile is False and told.type in ("", "mobile"):
        return "tablet" if os == "Android" else _BY_OS.get(os.lower(), told.type)
    return told.type or _BY_OS.get(os.lower(), "")


@lru_cache(maxsize=4096)
def _of_agent(agent: str) -> Device:
    if not agent.isascii():  # the parser takes no halves of characters; nothing that matters is beyond ASCII
        agent = agent.encode("ascii", "replace").decode()
    found = _parse(agent, Domain.OS)
    os = clean(_os_name(found.os.family)) if found.os is not None else ""
    model = _MODEL.search(agent)
    if model is not None:
        return Device("tv" if model[1] else "tablet", os)
    lowered = agent.lower().replace(_NO_TABLET, "")
    kind = next((kind for kind, words in _WORDS if any(word in lowered for word in words)), "")
    if os == "Android" and kind in ("", "mobile"):
        # Chrome and its relatives leave `Mobile` out on tablets; what is no browser says nothing of the kind.
        return Device("mobile" if kind or "chrome/" not in lowered else "tablet", os)
    return Device(kind or _BY_OS.get(os.lower(), ""), os)


def _os_name(name: str) -> str:
    return _OS_NAMES.get(name.lower(), name)


def _text(said: Any, name: str) -> str:
    value = said.get(name) if type(said) is dict else None
    return value[:MAX_CHARACTERS] if type(value) is str else ""
