"""Where Snowplow's events say whether their user consents to analytics. Pure."""

import binascii
from collections.abc import Iterator, Mapping
from typing import Any

from services.ingest.dialects.base import ConsentSources
from services.ingest.dialects.consent import as_object, category_answers, is_analytics
from services.ingest.event import tolerant_json
from throughline.kit.errors import ServiceError

_PREFERENCES = "consent_preferences"
"""Schema of what a visitor chose, as an event or as an entity beside one."""


def _entity_answers(entities: Any) -> Iterator[bool | None]:
    """Returns the answers of entities: the basis for processing, what was chosen, or any vendor's `consent`."""
    for entity in entities if isinstance(entities, list) else ():
        schema, data = as_object(entity).get("schema"), as_object(as_object(entity).get("data"))
        name = schema.split("/")[1] if isinstance(schema, str) and "/" in schema else ""
        if name == "gdpr" and data.get("basisForProcessing") == "consent":
            yield True
        elif name == _PREFERENCES:
            yield _chosen(data)
        elif name == "consent":
            yield from category_answers(data)


def _chosen(preferences: Mapping[str, Any]) -> bool:
    choice, scopes = preferences.get("eventType"), preferences.get("consentScopes")
    if choice == "allow_all":
        return True
    named = isinstance(scopes, list) and any(isinstance(scope, str) and is_analytics(scope) for scope in scopes)
    return named and choice in ("allow_selected", "implicit_consent")


def _plain_answers(context: Any) -> Iterator[bool | None]:
    """Returns the answers of the field `co`, a context as JSON in a text."""
    try:
        value = tolerant_json.load(context.encode())
    except (ServiceError, AttributeError, ValueError):
        value = context
    return _entity_answers(as_object(value).get("data"))


def _encoded_answers(context: Any) -> Iterator[bool | None]:
    """Returns the answers of the field `cx`, a context as JSON in base64 for URLs."""
    try:
        text = binascii.a2b_base64(context.replace("-", "+").replace("_", "/").replace(" ", "+") + "==").decode()
    except (ValueError, AttributeError):
        return iter(())
    return _plain_answers(text)


CONSENT = ConsentSources(
    context={"entities": _entity_answers},
    events={
        "consent_granted": lambda _: (True,),
        "consent_withdrawn": lambda _: (False,),
        _PREFERENCES: lambda properties: (_chosen(properties),),
    },
    members={"cx": _encoded_answers, "co": _plain_answers},
)
