"""What surrounds a Snowplow event, and the JSON that its fields hold. Pure."""

import binascii
from functools import lru_cache
from typing import Any, NamedTuple

from services.ingest.dialects.snowplow_ecommerce import Entities
from services.ingest.dialects.split import embedded_json, try_plain_base64
from services.ingest.dialects.web import page_context
from services.ingest.enrich.context import Context, build_context
from services.ingest.event.verdict import reject

ABOUT_CONTEXT = ("aid", "page", "url", "refr", "ua", "ip", "lang", "tz", "tv", "cx", "co")
SHORT = 1024
"""Characters of what is remembered, so that nobody fills the memory with it."""


class Surroundings(NamedTuple):
    """What surrounds an event."""

    context: Context
    entities: Entities
    """Those in the context."""
    said: dict[str, Any]
    """What the self-describing events seen in it say, by their base64: it depends on the entities beside them. Filled
    by who reads them, and only where there are entities."""


def context_of(about: tuple[str | None, ...]) -> Surroundings:
    """What `ABOUT_CONTEXT` says. Remembered for longer than a request where it is short and about the page only."""
    *texts, encoded, plain = about
    if encoded or plain or len("".join(filter(None, texts))) > SHORT:
        return _read_context(*about)
    return _known_context(*about)


def _read_context(
    _: str | None,
    title: str | None,
    url: str | None,
    referrer: str | None,
    user_agent: str | None,
    ip: str | None,
    language: str | None,
    timezone: str | None,
    tracker: str | None,
    encoded: str | None,
    plain: str | None,
) -> Surroundings:
    """What `ABOUT_CONTEXT` says, in that order."""
    context = page_context(url, referrer, title)
    if user_agent:
        context["userAgent"] = user_agent
    if ip:
        context["ip"] = ip
    if language:
        context["locale"] = language
    if timezone:
        context["timezone"] = timezone
    if tracker:
        context["library"] = {"name": tracker}
    entities: Entities = {}
    envelope = payload(encoded, plain, "c")
    if envelope is not None:
        found = envelope.get("data") if isinstance(envelope, dict) else None
        if not isinstance(found, list):
            reject("wrong_type", "cx", "contexts have to be a list of entities, each with its schema and data")
        context["entities"] = found
        for entity in found:
            data = entity.get("data") if isinstance(entity, dict) else None
            if isinstance(data, dict):
                _, name = schema_of(entity.get("schema"), "cx")
                entities.setdefault(name, []).append(data)
    return Surroundings(build_context(context), entities, {})


_known_context = lru_cache(maxsize=1024)(_read_context)


def payload(encoded: str | None, plain: str | None, prefix: str) -> Any:
    """The JSON in one of a pair of fields, the first of which is base64 for URLs; None when neither is given."""
    if encoded:
        field = f"{prefix}_px" if prefix == "ue" else "cx"
        return (_known_unpacked if len(encoded) <= SHORT else _unpacked)(encoded, field)
    if plain:
        return embedded_json(plain.encode(), f"{prefix}_pr" if prefix == "ue" else "co")
    return None


def _unpacked(encoded: str, field: str) -> Any:
    # A space is a plus that went through a query; padding is optional.
    text = encoded.replace("-", "+").replace("_", "/").replace(" ", "+")
    try:
        data = try_plain_base64(text.encode()) or binascii.a2b_base64(text + "==")
    except ValueError:
        reject("unreadable_base64", field, f"{field} is not base64")
    return embedded_json(data, field)


_known_unpacked = lru_cache(maxsize=1024)(_unpacked)
"""Most events of the e-commerce plugin say no more than their type. Whoever gets one must not change it."""


def device(entities: Entities) -> str:
    """The id a mobile tracker gives to its installation."""
    found = entities.get("client_session")
    own = found[0].get("userId") if found else None
    return own if isinstance(own, str) else ""


def shopper(entities: Entities) -> str | None:
    """The user the e-commerce plugin was told of, unless it is a guest."""
    found = entities.get("user")
    if not found or found[0].get("is_guest"):
        return None
    own = found[0].get("id")
    return own if isinstance(own, str) else None


def schema_of(schema: Any, field: str) -> tuple[str, str]:
    """Vendor and name of `iglu:vendor/name/format/version`.

    Raises:
        RejectedError: it is none.
    """
    found = _parts(schema) if isinstance(schema, str) else None
    if found is None:
        reject("missing_field", f"{field}.schema", "the schema has to be iglu:vendor/name/format/version")
    return found


@lru_cache(maxsize=1024)
def _parts(schema: str) -> tuple[str, str] | None:
    parts = schema.removeprefix("iglu:").split("/")
    return (parts[0], parts[1]) if len(parts) > 1 and parts[1] else None
