"""What PostHog's libraries ask for beside sending events: answered so that they go on without it. Pure."""

from collections.abc import Sequence
from functools import partial

import msgspec

from services.ingest.dialects.base import ParsedRequest, Request
from services.ingest.event.verdict import Verdict
from throughline.store.access.keys import SourceKey

JSON = b"application/json"
SCRIPT = b"application/javascript"

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
"""Nothing is switched on that would send elsewhere than the event paths."""
_FLAGS = {
    "flags": {},
    "featureFlags": {},
    "featureFlagPayloads": {},
    "errorsWhileComputingFlags": False,
    "quotaLimited": None,
}


def config() -> bytes:
    """The body of GET /array/{token}/config."""
    return msgspec.json.encode(_CONFIG)


def config_script(token: str) -> bytes:
    """The body of GET /array/{token}/config.js: a script, which hands the library the same."""
    name = _in_script(msgspec.json.encode(token))
    return (
        b"(function(){var all=window._POSTHOG_REMOTE_CONFIG=window._POSTHOG_REMOTE_CONFIG||{};"
        b"all[%s]={config:%s,siteApps:[]};})();" % (name, config())
    )


def flags() -> bytes:
    """The body of POST /flags and /decide: no feature flags, and what `config` says."""
    return msgspec.json.encode({**_CONFIG, **_FLAGS})


def parse_flags(_: Request) -> ParsedRequest:
    """Parses what comes to the flags' paths, which carry no events."""
    return ParsedRequest(None, [], reply=partial(_always, flags()))


def config_settings(_: SourceKey, key: str) -> bytes:
    """`config`, as a `SettingsRoute` has it."""
    return config()


def config_script_settings(_: SourceKey, key: str) -> bytes:
    """`config_script`, as a `SettingsRoute` has it."""
    return config_script(key)


def _always(body: bytes, _: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    return JSON, body


def _in_script(text: bytes) -> bytes:
    # A token is no markup, whatever it says.
    return text.replace(b"<", b"\\u003c").replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
