"""PostHog: the protocol of its libraries, and the settings that they ask for before they send."""

from services.ingest.dialects.base import Answers, ConsentSources, DialectSpec, Route, SettingsRoute
from services.ingest.dialects.consent import parse_answer
from services.ingest.dialects.posthog.parse import RESULTS_PATH, parse_batch, parse_capture
from services.ingest.dialects.posthog.settings import config, config_script, parse_flags

_SUMMARY = "PostHog: one event, a list, or a batch; the write key is the project's api_key"
_FLAGS_SUMMARY = "PostHog: which feature flags are on; none, and nothing is kept"
_BATCH = {
    "api_key": "tlw_...",
    "batch": [{"event": "Order Completed", "distinct_id": "customer-42", "properties": {"order_id": "A-1001"}}],
}
_CAPTURE_PATHS = ("/e", "/capture", "/engage", "/i/v0/e", "/i/v0/ai/batch")


def _cookieless_answers(value: object) -> Answers:
    """Returns "no" for an event that was sent in cookieless mode."""
    return (False,) if parse_answer(value) else ()


SPEC = DialectSpec(
    name="posthog",
    failure=lambda _: {"attr": None},  # with `type`, `code` and `detail`, which problem details have too
    routes=(
        Route("POST", "/batch", parse_batch, _SUMMARY, _BATCH),
        *(Route("POST", path, parse_capture, _SUMMARY, _BATCH) for path in _CAPTURE_PATHS),
        Route("POST", RESULTS_PATH, parse_capture, _SUMMARY, _BATCH, answer="object"),
        *(Route("POST", path, parse_flags, _FLAGS_SUMMARY, {}, answer="object") for path in ("/flags", "/decide")),
    ),
    key_names=("api_key", "token"),
    consent=ConsentSources(properties={"$cookieless_mode": _cookieless_answers}, events={"$opt_in": lambda _: (True,)}),
    address_members=("$ip",),
    kept_names={
        "$set": "traits",
        "$set_once": "traits",
        "$group_set": "traits",
        "$current_url": "url",
        "$initial_current_url": "url",
        "$session_entry_url": "url",
        "$referrer": "referrer",
        "$initial_referrer": "referrer",
        "$session_entry_referrer": "referrer",
        "$raw_user_agent": "userAgent",
    },
    settings=(
        SettingsRoute("/array/{key}/config", "What posthog-js asks for before it sends", config),
        SettingsRoute("/array/{key}/config.js", "The same, as a script", config_script, "application/javascript"),
    ),
)
