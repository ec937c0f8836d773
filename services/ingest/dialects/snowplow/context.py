"""The context of Snowplow's events, and JSON inside their fields. Pure."""

import binascii
from functools import lru_cache
from typing import Any

from msgspec import Struct

from services.ingest.dialects.split import embedded_json, try_plain_base64
from services.ingest.dialects.web import page_context
from services.ingest.enrich.context import NO_CONTEXT, Context, build_context, with_member
from services.ingest.event.verdict import Verdict, reject

CONTEXT_FIELDS = ("aid", "page", "url", "refr", "ua", "ip", "lang", "tz", "tv", "cx", "co")
"""Fields that most events of a request have in common; they decide an event's context."""
MAX_CACHED = 1024
"""Maximum number of characters of a cached text: longer ones could fill the memory."""

Entities = dict[str, list[dict[str, Any]]]
"""Name of a schema -> the data of each entity that has this schema."""


class SharedContext(Struct, frozen=True, gc=False):
    """The context of all events with the same `CONTEXT_FIELDS`."""

    context: Context
    entities: Entities
    """The entities of the field `cx` or `co`."""
    self_describing: dict[str, Any]
    """Base64 of a self-describing event -> its content, which depends on the entities. The reader fills this, and only
    if there are entities."""
    warnings: tuple[Verdict, ...] = ()
    """What was mended in the entities."""


NO_SHARED_CONTEXT = SharedContext(NO_CONTEXT, {}, {})


def context_of(fields: tuple[str | None, ...]) -> SharedContext:
    """Returns the context of `CONTEXT_FIELDS`.

    Raises:
        RejectedError: the entities cannot be read.
    """
    return with_entities(context_of_texts(fields[:-2]), *fields[-2:])


def context_of_texts(texts: tuple[str | None, ...]) -> SharedContext:
    """Returns what `CONTEXT_FIELDS` say beside entities. Short ones are cached across requests."""
    is_cached = len("".join(filter(None, texts))) <= MAX_CACHED
    return (_cached_context if is_cached else _parse_context)(*texts)


def with_entities(shared: SharedContext, encoded: str | None, plain: str | None) -> SharedContext:
    """Returns a context with the entities of the field `cx` or `co`.

    Raises:
        RejectedError: they cannot be read.
    """
    if not (encoded or plain):
        return shared
    entities: Entities = {}
    warnings: list[Verdict] = []
    outer = decode_field(encoded, plain, "cx", "co", warnings, is_cached=False)
    if outer is None or outer == []:
        return SharedContext(shared.context, entities, {}, tuple(warnings))
    listed = outer.get("data") if isinstance(outer, dict) else None
    if not isinstance(listed, list):
        reject("wrong_type", "cx", "contexts have to be a list of entities, each with its schema and data")
    for entity in listed:
        data = entity.get("data") if type(entity) is dict else None
        if type(data) is dict:
            name = schema_of(entity.get("schema"), "cx")[1]
            if name in entities:
                entities[name].append(data)
            else:
                entities[name] = [data]
    return SharedContext(with_member(shared.context, "entities", listed), entities, {}, tuple(warnings))


def _parse_context(
    _: str | None,
    title: str | None,
    url: str | None,
    referrer: str | None,
    user_agent: str | None,
    ip: str | None,
    language: str | None,
    timezone: str | None,
    tracker: str | None,
) -> SharedContext:
    """Takes `CONTEXT_FIELDS` but for the entities, in that order."""
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
    return SharedContext(build_context(context), {}, {})


_cached_context = lru_cache(maxsize=1024)(_parse_context)


def decode_field(
    encoded: str | None,
    plain: str | None,
    encoded_field: str,
    plain_field: str,
    warnings: list[Verdict],
    *,
    is_cached: bool = True,
) -> Any:
    """Returns the JSON in one of a pair of fields, in base64 for URLs or plain; None if both are missing.

    Must not be changed: short ones are cached, unless they hardly ever come again. What is mended in it goes to
    `warnings`.

    Raises:
        RejectedError: the field that is there cannot be read.
    """
    if encoded:
        is_cached = is_cached and len(encoded) <= MAX_CACHED
        value, notes = (_cached_json if is_cached else _encoded_json)(encoded, encoded_field)
        warnings += notes
        return value
    if plain:
        return embedded_json(plain.encode(), plain_field, warnings)
    return None


def _encoded_json(encoded: str, field: str) -> tuple[Any, tuple[Verdict, ...]]:
    # A space is a plus sign that went through a query; padding is optional.
    text = encoded.replace("-", "+").replace("_", "/").replace(" ", "+")
    try:
        data = try_plain_base64(text.encode()) or binascii.a2b_base64(text + "==")
    except ValueError:
        reject("unreadable_base64", field, f"{field} is not base64")
    notes: list[Verdict] = []
    value = embedded_json(data, field, notes)
    return value, tuple(notes)


_cached_json = lru_cache(maxsize=1024)(_encoded_json)
"""Most events of the e-commerce plugin hold no more than their type."""


def device_id(entities: Entities) -> str:
    """Returns the id that a mobile tracker gives its installation, or ""."""
    sessions = entities.get("client_session")
    user_id = sessions[0].get("userId") if sessions else None
    return user_id if isinstance(user_id, str) else ""


def shopper_id(entities: Entities) -> str | None:
    """Returns the id of the user that the e-commerce plugin names; None for a guest or no user."""
    users = entities.get("user")
    if not users or users[0].get("is_guest"):
        return None
    user_id = users[0].get("id")
    return user_id if isinstance(user_id, str) else None


def schema_of(schema: Any, field: str) -> tuple[str, str]:
    """Returns vendor and name of a schema, `iglu:vendor/name/format/version`.

    Raises:
        RejectedError: it is no schema; `field` holds it.
    """
    names = _schema_names(schema) if isinstance(schema, str) else None
    if names is None:
        reject("missing_field", f"{field}.schema", "the schema has to be iglu:vendor/name/format/version")
    return names


@lru_cache(maxsize=1024)
def _schema_names(schema: str) -> tuple[str, str] | None:
    parts = schema.removeprefix("iglu:").split("/")
    return (parts[0], parts[1]) if len(parts) > 1 and parts[1] else None
