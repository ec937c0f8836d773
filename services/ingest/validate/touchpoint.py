"""An event as every dialect says it, made into a touchpoint: all checks, limits and warnings in one place. Pure.

Dialects put what they read into an `Event`; nobody else makes touchpoints of events.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.batch import EMPTY, SMALL_REST, Batch, merged, object_of, text_of
from services.ingest.enrich.attribution import ATTRIBUTION_PROPERTY_SET
from services.ingest.enrich.context import Context
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.times import SKEW_US
from services.ingest.event.verdict import (
    ILLEGAL_IDS,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_MESSAGE_ID,
    MAX_TEXT,
    RefusedError,
    Verdict,
    read_id,
    refuse,
    warning,
)
from services.ingest.validate import consent as consents
from services.ingest.validate import order_names
from services.ingest.validate.fields import NONE, read_fields
from services.ingest.validate.privacy import of_refused
from throughline.kit.clock import rfc3339
from throughline.wire.codec import Touchpoint

CALLS = frozenset({"track", "page", "screen", "identify", "group", "alias"})


class Result(Struct, gc=False):
    """What became of a body's events."""

    touchpoints: list[Touchpoint]
    verdicts: list[Verdict | None]
    """In the order of the events; None is ok."""
    refused: list[tuple[Verdict, bytes]]
    """With the event, whole."""
    dropped: list[tuple[Verdict, str]]
    """With the name each is counted by, "" for none."""


_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_EMPTY: dict[str, Any] = {}
_new: Callable[[type[Touchpoint], tuple[Any, ...]], Touchpoint] = tuple.__new__
When = tuple[int, int | None]
"""When an event happened and, if that is said, was sent, both by the client's clock and within the years 1-9999."""


def measure(raw: bytes | Raw, most: int = MAX_EVENT_BYTES) -> None:
    """Check what has to hold before an event is looked into: its size and its nesting.

    Raises:
        RefusedError: too large, nested too deeply, or what else `careful.defect_of` finds in it.
        ServiceError: not JSON at all.
    """
    size = len(raw)
    if size > most:
        refuse("too_large", "", f"the event has {size} bytes, {most} are allowed")
    if size > 2 * MAX_DEPTH and tolerant_json.may_be_deep(bytes(raw)):
        look_closely(raw)


def look_closely(raw: bytes | Raw) -> None:
    """Find what is wrong with an event that can not be read.

    Raises:
        RefusedError: what `careful.defect_of` finds.
        ServiceError: not JSON at all.
    """
    found = tolerant_json.defect_of(bytes(raw))
    if found is not None:
        raise RefusedError(*found[1:])


def build(
    event: Event,
    raw: bytes | Raw,
    batch: Batch,
    notes: list[Verdict],
    extra: str,
    properties: dict[str, Any] | None = None,
    context: Context | None = None,
    when: When | None = None,
) -> Touchpoint:
    """The touchpoint of one event; what was mended or left out goes to `notes`.

    `raw` is the event as sent; `extra` the inside of a JSON object, with what has no place in `Event`; `properties`,
    `context` and `when` are the event's own, decoded, if the dialect had to do that anyway.

    Raises:
        DroppedError: the source asks for consent, and the event has none.
        RefusedError: the event can not be kept.
        msgspec.DecodeError: one of its parts is not JSON that can be held.
    """
    if batch.shared:
        batch.weigh(batch.shared + len(raw))
    call = batch.call or event.type
    if batch.consent != consents.OFF:
        # Before anything else: who has not consented often has no id either.
        if context is not None:
            batch.take_context(context)
        elif event.context != batch.context_raw:
            batch.look_at_context(event.context)
        if properties is None:
            properties = object_of("properties", event.properties)
        consents.require(batch.consented, call if call in CALLS else "", event.event or "", properties, batch.consent)
    name = event.name or ""
    if call == "track":
        name = event.event or ""
        if not name:
            refuse("missing_field", "event", "a track call has to name its event")
    elif call not in CALLS:
        if not call:
            refuse("missing_field", "type", "an event in a batch has to name its type: " + ", ".join(sorted(CALLS)))
        refuse("unknown_type", "type", f"{call[:100]!r} is none of: " + ", ".join(sorted(CALLS)))
    if len(name) > MAX_TEXT:
        refuse("too_long", "event", f"the name has {len(name)} characters, {MAX_TEXT} are allowed")

    user = event.userId or ""
    if user and (len(user) > MAX_TEXT or user.strip().lower() in ILLEGAL_IDS):
        user = read_id(user, "userId", notes)
    anonymous = event.anonymousId or ""
    if anonymous and (len(anonymous) > MAX_TEXT or anonymous.strip().lower() in ILLEGAL_IDS):
        anonymous = read_id(anonymous, "anonymousId", notes)
    actor = user or anonymous
    if not actor:
        for note in notes:
            if note.code in ("illegal_id", "missing_id"):
                refuse(note.code, note.field, note.message)
        refuse("missing_id", "userId", "an event needs a userId or an anonymousId")
    previous = ""
    if call == "alias":
        previous = read_id(event.previousId, "previousId", notes)
        if not user:
            refuse("missing_field", "userId", "an alias call needs the userId that previousId becomes")
        if not previous and not anonymous:
            refuse("missing_field", "previousId", "an alias call needs the previousId that becomes userId")

    # When.
    received_us = batch.received_us
    client = event.originalTimestamp or event.timestamp
    if client is None and when is None:
        client_us = 0
        occurred_us = received_us
    else:
        if when is not None:
            client_us, sent_us = when
        else:
            assert client is not None
            client_us = times.instant(client, "timestamp")
            sent_us = batch.sent_us if event.sentAt is None else times.instant(event.sentAt, "sentAt")
        if client_us <= received_us and (sent_us is None or -SKEW_US <= received_us - sent_us <= SKEW_US):
            occurred_us = client_us
        else:
            occurred_us, future = times.correct(client_us, sent_us, received_us)
            if future:
                notes.append(
                    warning("time_in_future", "timestamp", "the time lies in the future; the time received is used")
                )

    if occurred_us < batch.retention_cutoff_us:
        kept = rfc3339(batch.retention_cutoff_us)
        refuse("before_horizon", "timestamp", f"it happened before {kept}, from when on the workspace keeps events")

    message_id = event.messageId or _missing_message_id(raw, batch, client_us, notes)
    if len(message_id) > MAX_MESSAGE_ID:
        refuse("too_long", "messageId", f"messageId has {len(message_id)} characters, {MAX_MESSAGE_ID} are allowed")

    # What: the typed fields, and the rest as it came.
    rest: list[str] = []
    fields = NONE
    hinted = False
    if event.properties:
        if properties is None:
            properties = object_of("properties", event.properties)
        if properties:
            rest.append(f'"properties":{text_of(event.properties)}')
            fields = read_fields(properties, notes)
            hinted = not properties.keys().isdisjoint(ATTRIBUTION_PROPERTY_SET)
    if not fields[0] and call == "track":
        missing = order_names.missing_id(name)
        if missing is not None:
            notes.append(missing)
    if event.traits and object_of("traits", event.traits):
        rest.append(f'"traits":{text_of(event.traits)}')
    if context is not None:
        if context is not batch.context:
            batch.take_context(context)
    elif event.context != batch.context_raw:
        batch.look_at_context(event.context)
    if batch.context_text:
        rest.append(batch.context_text)
    integrations = merged("integrations", event.integrations, batch.shared_integrations)
    if len(integrations) > EMPTY:
        rest.append(_checked("integrations", integrations))
    if event.groupId:
        rest.append(_checked("groupId", event.groupId))
    if event.category:
        rest.append(_checked("category", event.category))
    if event.channel:
        rest.append(_checked("channel", event.channel))
    if event.rudderId:
        rest.append(_checked("rudderId", event.rudderId))
    if event.metadata:
        rest.append(_checked("_metadata", event.metadata))
    if extra:
        rest.append(extra)
    if batch.context.bot:
        notes.append(warning("bot", "context.userAgent", "sent by a crawler: kept, and left out of every journey"))
    kept = f"{{{','.join(rest)}}}"
    if len(kept) > SMALL_REST and not batch.shared:
        batch.weigh(len(kept))
    attribution = batch.attribution_of(properties or _EMPTY, call) if hinted else batch.context.attribution
    # Not `Touchpoint(...)`, whose __new__ is Python and four times slower.
    return _new(
        Touchpoint,
        (
            occurred_us,
            message_id,
            actor,
            call,
            name,
            batch.workspace,
            batch.source,
            attribution.channel,
            received_us,
            client_us,
            user,
            anonymous,
            previous,
            *fields,
            tuple([note.code for note in notes]) if notes else (),
            kept,
            batch.context.bot,
            attribution.facts,
        ),
    )


def _missing_message_id(raw: bytes | Raw, batch: Batch, client_us: int, notes: list[Verdict]) -> str:
    """An id that a retry of the same event gets again, if the event says when it happened; else a random one."""
    if not client_us:
        notes.append(
            warning(
                "missing_message_id", "messageId", "without messageId and timestamp a retry counts as another event"
            )
        )
        return batch.new_id()
    digest = blake2b(f"{batch.source}\0{batch.call}\0".encode(), digest_size=16)
    try:
        # Of what is kept if it is refused, so that it has the same id when it is sent again.
        fields = _FIELDS.decode(of_refused(bytes(raw), batch.ip))
    except (msgspec.DecodeError, UnicodeDecodeError):  # not JSON: a query string, or the body of a binary binding
        digest.update(of_refused(bytes(raw), batch.ip))
        return digest.hexdigest()
    for volatile in ("sentAt", "writeKey", "_metadata"):
        fields.pop(volatile, None)
    digest.update(msgspec.json.encode(fields, order="sorted"))
    return digest.hexdigest()


def _checked(name: str, raw: Raw) -> str:
    """A member of the rest that nobody here looks into, once it is known that it can be read."""
    _ANY.decode(raw)
    return f'"{name}":{text_of(raw)}'
