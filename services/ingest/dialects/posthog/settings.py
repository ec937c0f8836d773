"""The settings and feature flags that PostHog's libraries ask for: with these answers they send events only. Pure."""

from collections.abc import Sequence

import msgspec

from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.event.verdict import Verdict
from throughline.store.access.keys import SourceKey

_CONFIG = {
    "supportedCompression": ["gzip", "gzip-js"],
    "hasFeatureFlags": False,
    "defaultIdentifiedOnly": True,
    "analytics": {"endpoint": "/e/"},
    "elementsChainAsString": True,
    "autocapture_opt_out": False,
    "autocaptureExceptions": False,
    "captureDeadClicks": False,
    "capturePerformance": False,
    "errorTracking": {"autocaptureExceptions": False, "suppressionRules": []},
    "heatmaps": False,
    "sessionRecording": False,
    "surveys": False,
    "productTours": False,
    "conversations": False,
    "toolbarParams": {},
    "isAuthenticated": False,
    "siteApps": [],
}
"""Switches off everything that would send to other paths than those of events."""
_CONFIG_JSON = msgspec.json.encode(_CONFIG)
_FLAGS_JSON = msgspec.json.encode(
    {
        **_CONFIG,
        "flags": {},
        "featureFlags": {},
        "featureFlagPayloads": {},
        "errorsWhileComputingFlags": False,
        "quotaLimited": None,
    }
)
"""No feature flags, and the settings: some libraries ask for both at once."""


def parse_flags(_: Request) -> ParsedRequest:
    """Parses a request for feature flags, which holds no events."""
    return ParsedRequest(None, [], reply=_flags)


def config(_: SourceKey, __: str) -> bytes:
    """Returns the settings as JSON."""
    return _CONFIG_JSON


def config_script(_: SourceKey, key: str) -> bytes:
    """Returns the settings as a script that hands them to the library."""
    name = _escape_for_script(msgspec.json.encode(key))
    return (
        b"(function(){var all=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        b"all[%s]={config:%s,siteApps:[]};})();" % (name, _CONFIG_JSON)
    )


def _flags(_: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    return b"application/json", _FLAGS_JSON


def _escape_for_script(text: bytes) -> bytes:
    # JSON allows what ends a script in HTML, and what ended a line in older JavaScript.
    return text.replace(b"<", b"\\u003c").replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
