"""A source's setting `consent`: what becomes of events without consent for analytics. Pure.

`off` (the default) asks nobody. With `drop`, events that do not say that there is consent are dropped; with `aggregate`
they are dropped too, and counted by name. Silence is no consent; of two answers the refusal counts.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import CONSENT_FIELD, ConsentSources
from services.ingest.dialects.consent import as_object, combined
from services.ingest.event import tolerant_json
from services.ingest.event.verdict import DroppedError, Verdict
from throughline.kit.errors import ServiceError
from throughline.store.access.modes import ConsentMode

MAX_NAME = 200
"""Maximum number of characters of the name that a dropped event is counted by."""

_NO_PROPERTIES: Mapping[str, Any] = {}


def of_context(context: Mapping[str, Any], sources: ConsentSources) -> bool | None:
    """Returns what an event's context answers: True for consent, False for its refusal, None for nothing."""
    return combined(_in_context(context, sources))


def require(
    in_context: bool | None,
    call: str,
    name: str,
    properties: Mapping[str, Any] | None,
    mode: ConsentMode,
    sources: ConsentSources,
) -> None:
    """Let an event pass if it says that there is consent; `in_context` is the answer of its context.

    Raises:
        DroppedError: it does not. The error carries the name by which the event is counted, "" unless `mode` is
            `aggregate`: the event's name for a track call, else the call, because names of pages are often titles.
    """
    answer = combined((in_context, *_in_event(name, properties or _NO_PROPERTIES, sources)))
    if answer:
        return
    why = "says nothing of consent" if answer is None else "has no consent"
    counted = name if call == "track" else call
    raise DroppedError(
        "no_consent",
        CONSENT_FIELD,
        f"the event {why} for analytics, so that nothing of it is kept; where there is consent, tell it in "
        f"{CONSENT_FIELD}",
        counted[:MAX_NAME].encode(errors="replace").decode() if mode is ConsentMode.AGGREGATE else "",
    )


def kept_of_rejected(
    verdict: Verdict, raw: bytes, mode: ConsentMode, shared_context: Mapping[str, Raw], sources: ConsentSources
) -> tuple[Verdict, bytes]:
    """Returns what is kept of a rejected event: all of it if its bytes say that there is consent, else only the code.

    `shared_context` is the part of its context that its request gives once for all events.
    """
    if mode is ConsentMode.OFF or _says_yes(raw, shared_context, sources):
        return verdict, raw
    # Messages and paths quote what was sent.
    return Verdict("rejected", verdict.code, "", "not kept: consent for analytics could not be read in it"), b""


def _says_yes(raw: bytes, shared_context: Mapping[str, Raw], sources: ConsentSources) -> bool:
    """Whether the bytes of an event of any dialect say that there is consent, whatever else is wrong with them."""
    try:
        event = tolerant_json.load(raw)
    except ServiceError:
        return False
    if not isinstance(event, dict):
        return False
    shared = {name: msgspec.json.decode(part) for name, part in shared_context.items()}
    answers = [*_in_context(shared | {**as_object(event.get("context"))}, sources)]
    for name, read in sources.members.items():
        if name in event:
            answers += read(event[name])
    for part in (event.get("properties"), event.get("data")):
        answers += _in_event("", as_object(part), sources)
    return combined(answers) is True


def _in_context(context: Mapping[str, Any], sources: ConsentSources) -> Iterator[bool | None]:
    for name, read in sources.context.items():
        if name in context:
            yield from read(context[name])


def _in_event(name: str, properties: Mapping[str, Any], sources: ConsentSources) -> Iterator[bool | None]:
    if name in sources.events:
        yield from sources.events[name](properties)
    for member, read in sources.properties.items():
        if member in properties:
            yield from read(properties[member])
    if "context" in properties:
        yield from _in_context(as_object(properties["context"]), sources)
