"""Consent for analytics, as each family of SDKs says it, and what a source's setting `consent` makes of it. Pure.

`off` (the default) asks nobody. With `drop` an event that does not say that there is consent is dropped; so it is
with `aggregate`, where its name goes on to be counted by. Silence is no consent; of two answers the refusal counts.
"""

import binascii
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw

from services.ingest.event import tolerant_json
from services.ingest.event.verdict import DroppedError, Verdict
from throughline.kit.errors import ServiceError

OFF, DROP, AGGREGATE = MODES = ("off", "drop", "aggregate")

FIELD = "context.consent.analytics"
"""Where the verdict says that consent is to be told."""
MAX_NAME = 200
"""Characters of the name that a dropped event is counted by."""

CATEGORIES = frozenset(
    {
        "analytics",
        "analytical",
        "analyticscookies",
        "analyticsstorage",
        "statistics",
        "statisticscookies",
        "performance",
        "performancecookies",
        "measurement",
        "marketingandanalytics",
        "c0002",
    }
)
"""What consent platforms call analytics, in lower case, and of it the letters and digits."""

_MEASUREMENT = "4"
"""How iubenda numbers it."""
_WORDS = dict.fromkeys(("granted", "true", "yes", "1"), True) | dict.fromkeys(("denied", "false", "no", "0"), False)
_DEEDS = {"consent_granted": True, "$opt_in": True, "consent_withdrawn": False}
"""Events that are an answer themselves: Snowplow's, and PostHog's of a browser that opts in."""
_PREFERENCES = "consent_preferences"
"""Snowplow's event, also attached to others, of what was chosen."""
_NOBODY: Mapping[str, Any] = {}


def of_context(context: Mapping[str, Any]) -> bool | None:
    """What an event's context says: there is consent, or it was refused; None: nothing."""
    return _together(_in_context(context))


def require(said: bool | None, call: str, name: str, properties: Mapping[str, Any] | None, mode: str) -> None:
    """Let an event pass if it says that there is consent: `said` is what its context does.

    Raises:
        DroppedError: it does not. It carries the name to count it by, "" unless `mode` asks for one: that of a track
            call; other calls are counted by what they are, because the names of pages are often their titles.
    """
    answer = _together((said, *_in_event(name, properties or _NOBODY)))
    if answer:
        return
    why = "says nothing of consent" if answer is None else "has no consent"
    counted = name if call == "track" else call
    raise DroppedError(
        "no_consent",
        FIELD,
        f"the event {why} for analytics, so that nothing of it is kept; where there is consent, tell it in {FIELD}",
        counted[:MAX_NAME].encode(errors="replace").decode() if mode == AGGREGATE else "",
    )


def refused(verdict: Verdict, raw: bytes, mode: str, shared: Mapping[str, Raw]) -> tuple[Verdict, bytes]:
    """A refused event as it is kept: whole if consent can be read in it, else nothing of it but the code.

    `shared` is the part of its context that its request gives to all events.
    """
    if mode == OFF or _readable_in(raw, shared):
        return verdict, raw
    # Messages and paths quote what was sent.
    return Verdict("rejected", verdict.code, "", "not kept: consent for analytics could not be read in it"), b""


def _readable_in(raw: bytes, shared: Mapping[str, Raw]) -> bool:
    """Whether bytes of any family say that there is consent, whatever else is wrong with them."""
    try:
        event = tolerant_json.load(raw)
    except ServiceError:
        return False
    if not isinstance(event, dict):
        return False
    context = {name: msgspec.json.decode(part) for name, part in shared.items()} | {**_object(event.get("context"))}
    answers = [*_in_context(context), _answer(event.get("analyticsconsent")), _answer(event.get("analytics_consent"))]
    for part in (event.get("properties"), event.get("data")):
        answers += _in_event("", _object(part))
    for part in (_decoded(event.get("cx")), event.get("co")):
        answers += _in_entities(_object(_loaded(part)).get("data"))
    return _together(answers) is True


def _in_context(context: Mapping[str, Any]) -> Iterator[bool | None]:
    if "consent" in context:
        yield from _in_consent(_object(context["consent"]))
    if "consentManagement" in context:
        yield _in_lists(_object(context["consentManagement"]))
    if "entities" in context:
        yield from _in_entities(context["entities"])


def _in_event(name: str, properties: Mapping[str, Any]) -> Iterator[bool | None]:
    yield _DEEDS.get(name)
    if name == _PREFERENCES:
        yield _chosen(properties)
    if "consent" in properties:
        yield from _in_consent(_object(properties["consent"]))
    if "context" in properties:
        yield from _in_context(_object(properties["context"]))
    if _answer(properties.get("$cookieless_mode")):
        yield False


def _in_consent(consent: Mapping[str, Any]) -> Iterator[bool | None]:
    """Segment's object, which Jitsu has too, GA4's, and the plain `{"analytics": true}`."""
    yield _in_categories(consent)
    yield _in_categories(_object(consent.get("categoryPreferences")))


def _in_categories(categories: Mapping[str, Any]) -> bool | None:
    return _together(_answer(value) for name, value in categories.items() if _is_analytics(name))


def _in_lists(management: Mapping[str, Any]) -> bool | None:
    """RudderStack's two lists of category ids (or objects, of ids and names)."""
    iubenda = management.get("provider") == "iubenda"

    def among(ids: Any) -> bool:
        if isinstance(ids, dict):
            ids = [text for pair in ids.items() if _answer(pair[1]) is not False for text in pair]
        return isinstance(ids, list) and any(
            _is_analytics(one) or (iubenda and one == _MEASUREMENT) for one in ids if isinstance(one, str)
        )

    if among(management.get("deniedConsentIds")):
        return False
    return True if among(management.get("allowedConsentIds")) else None


def _in_entities(entities: Any) -> Iterator[bool | None]:
    """Snowplow's: the basis for processing, what was chosen, or an entity `consent` of any vendor."""
    for entity in entities if isinstance(entities, list) else ():
        schema, data = _object(entity).get("schema"), _object(_object(entity).get("data"))
        name = schema.split("/")[1] if isinstance(schema, str) and "/" in schema else ""
        if name == "gdpr" and data.get("basisForProcessing") == "consent":
            yield True
        elif name == _PREFERENCES:
            yield _chosen(data)
        elif name == "consent":
            yield from _in_consent(data)


def _chosen(preferences: Mapping[str, Any]) -> bool:
    kind, scopes = preferences.get("eventType"), preferences.get("consentScopes")
    if kind == "allow_all":
        return True
    named = isinstance(scopes, list) and any(isinstance(scope, str) and _is_analytics(scope) for scope in scopes)
    return named and kind in ("allow_selected", "implicit_consent")


@lru_cache(maxsize=1024)
def _is_analytics(category: str) -> bool:
    return "".join(filter(str.isalnum, category.lower())) in CATEGORIES


def _answer(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if type(value) is int and value in (0, 1) else None


def _together(answers: Iterable[bool | None]) -> bool | None:
    found = {*answers}
    return False if False in found else True if True in found else None


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else _NOBODY


def _decoded(encoded: Any) -> str | None:
    """The text in base64 for URLs; None when it is none."""
    try:
        return binascii.a2b_base64(encoded.replace("-", "+").replace("_", "/").replace(" ", "+") + "==").decode()
    except (ValueError, AttributeError):
        return None


def _loaded(text: Any) -> Any:
    try:
        return tolerant_json.load(text.encode())
    except (ServiceError, AttributeError, ValueError):
        return text
