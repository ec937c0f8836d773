"""The type of device an event was sent from, and its operating system. Pure.

`ua-parser` finds the operating system in a user agent, in compiled code whose time grows only with the length of the
text. Its patterns know thousands of models but not their types: the rules for types are in this file.
"""

import re
from functools import lru_cache
from typing import Any, NamedTuple

from ua_parser import Domain
from ua_parser.loaders import load_lazy_builtins
from ua_parser.regex import Resolver

from services.ingest.enrich.address import clean
from services.ingest.enrich.crawlers import MAX_USER_AGENT


class Device(NamedTuple):
    """`type` is desktop, mobile, tablet, tv, console or wearable; both fields are "" if unknown."""

    type: str
    os: str


class DeviceHints(NamedTuple):
    """What a context says of the device: texts as sent, "" or None where it is silent."""

    user_agent: str
    is_mobile: bool | None
    """`mobile` of the browser's client hints."""
    platform: str
    """`platform` of the browser's client hints."""
    type: str
    model: str
    os: str


UNKNOWN = Device("", "")
DEVICE_MEMBERS = frozenset({"userAgent", "userAgentData", "device", "os"})
"""The members of a context that tell of the device."""
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
"""Values of `context.device.type` (`category` in GA4) -> type. Mobile libraries put the name of the system there."""
_TYPES_BY_OS = {
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
_APPLE_MODELS = (("ipad", "tablet"), ("iphone", "mobile"), ("ipod", "mobile"), ("appletv", "tv"), ("watch", "wearable"))
"""Prefix of an Apple model's name -> type."""

_USER_AGENT_WORDS = (
    ("console", ("playstation", "nintendo", "xbox")),
    (
        "tv",
        (
            "smarttv",
            "smart-tv",
            "smart tv",
            "appletv",
            "apple tv",
            "googletv",
            "google tv",
            "android tv",
            "hbbtv",
            " tv ",
            " tv;",
            " tv)",
            " tv/",
            "mitv",
            "web0s",
            "netcast",
            "roku",
            "bravia",
            "crkey",
            "viera",
            "vizios",
            "nettv",
            "webos.tv",
            "tizen tv",
            "googletv",
            "dtv/",
            "ctv/",
        ),
    ),
    ("wearable", ("watchos", "watch os", "apple watch", "applewatch", "smartwatch", "wear os", "wearos")),
    (
        "tablet",
        ("ipad", "tablet;", "tablet)", "tablet ", "playbook", "kindle", "xoom", "nexus 7", "nexus 9", "nexus 10"),
    ),
    ("mobile", ("mobi", "iphone", "ipod", "opera mini", "blackberry", "bb10", "windows phone", "symbian", "midp")),
)
"""Type, and texts of which a user agent of this type contains one, in lower case. The first type that fits counts."""
_NOT_A_TABLET = "tablet pc"
"""Old versions of Windows say this on any computer."""
_MODEL_CODE = re.compile(
    r"\b(?:(?P<tv>AFT[A-Z])|(?P<wearable>SM-R\d|Watch\d+,\d)|(?P<tablet>KF[A-Z]{2,5}\b|SM-[TX]\d|GT-P\d))"
)
"""Model codes of Fire TV sticks, of watches by Samsung and Apple, and of tablets by Amazon and Samsung."""

_parse_user_agent = Resolver(([], load_lazy_builtins()[1], []))


def device_hints_of(context: dict[str, Any]) -> DeviceHints | None:
    """Returns what a context says of the device; None if it says nothing. Values of a wrong type are ignored."""
    if DEVICE_MEMBERS.isdisjoint(context):
        return None
    device, os, client_hints = context.get("device"), context.get("os"), context.get("userAgentData")
    is_mobile = client_hints.get("mobile") if type(client_hints) is dict else None
    return DeviceHints(
        _text(context, "userAgent"),
        is_mobile if type(is_mobile) is bool else None,
        _text(client_hints, "platform"),
        _text(device, "type") or _text(device, "category"),  # GA4's names are `category` and `operating_system`
        _text(device, "model"),
        _text(os, "name") or _text(device, "operating_system"),
    )


def device_of(hints: DeviceHints) -> Device:
    """Returns the device, by the most certain hint: what the app says, then client hints, then the user agent."""
    by_user_agent = _device_by_user_agent(hints.user_agent) if hints.user_agent else UNKNOWN
    os = clean(_os_name(hints.os or hints.platform)) or by_user_agent.os
    by_app = _type_by_app(hints.type.lower(), hints.model.lower())
    return Device(by_app or _type_by_browser(hints.is_mobile, by_user_agent.type, os), os)


def _type_by_app(device_type: str, model: str) -> str:
    """Returns the type by `context.device`, which apps fill with a type or with the name of the system."""
    if device_type in _TYPES:
        return _TYPES[device_type]
    if device_type in _TYPES_BY_OS:
        by_model = (type_ for prefix, type_ in _APPLE_MODELS if model.startswith(prefix))
        return next(by_model, _TYPES_BY_OS[device_type])
    return ""


def _type_by_browser(is_mobile: bool | None, by_user_agent: str, os: str) -> str:
    """Returns the type by the browser's client hint, which is more certain than its user agent."""
    if is_mobile:
        return "mobile"
    if is_mobile is False and by_user_agent in ("", "mobile"):
        return "tablet" if os == "Android" else _TYPES_BY_OS.get(os.lower(), by_user_agent)
    return by_user_agent or _TYPES_BY_OS.get(os.lower(), "")


@lru_cache(maxsize=4096)
def _device_by_user_agent(user_agent: str) -> Device:
    if not user_agent.isascii():  # the parser rejects lone surrogates, and no rule needs more than ASCII
        user_agent = user_agent.encode("ascii", "replace").decode()
    result = _parse_user_agent(user_agent, Domain.OS)
    os = clean(_os_name(result.os.family)) if result.os is not None else ""
    model_code = _MODEL_CODE.search(user_agent)
    if model_code is not None:
        return Device(model_code.lastgroup or "", os)
    lowered = f"{user_agent.lower()} ".replace(_NOT_A_TABLET, "")  # ` TV` at the end is a word too
    by_words = next((type_ for type_, words in _USER_AGENT_WORDS if any(word in lowered for word in words)), "")
    if os == "Android" and by_words in ("", "mobile"):
        # Chrome and its relatives leave out `Mobile` on tablets; an app's user agent leaves it out anywhere.
        return Device("mobile" if by_words or "chrome/" not in lowered else "tablet", os)
    return Device(by_words or _TYPES_BY_OS.get(os.lower(), ""), os)


def _os_name(name: str) -> str:
    return _OS_NAMES.get(name.lower(), name)


def _text(members: Any, name: str) -> str:
    value = members.get(name) if type(members) is dict else None
    return value[:MAX_USER_AGENT] if type(value) is str else ""
