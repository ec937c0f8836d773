"""An event as every dialect says it, made into a touchpoint: all checks, limits and warnings in one place. Pure.

Dialects put what they read into an `Event`; nobody else makes touchpoints of events.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest import consent as consents
from services.ingest import orders, times
from services.ingest.attribution.facts import HINTS, NOTHING, PROPERTY_HINTS, Attribution, attribution_of
from services.ingest.dialects import careful
from services.ingest.dialects.context import NO_CONTEXT, Context, look
from services.ingest.dialects.event import Event
from services.ingest.dialects.fields import NONE, read_fields
from services.ingest.privacy import SHORTEN, of_context, of_refused
from services.ingest.times import SKEW_US
from services.ingest.verdict import (
    ILLEGAL_IDS,
    MAX_DEPTH,
    MAX_EVENT_BYTES,
    MAX_MESSAGE_ID,
    MAX_TEXT,
    RefusedError,
    Verdict,
    json_type,
    read_id,
    refuse,
    warning,
)
from throughline.kit.clock import MIN_US, rfc3339
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
_NOTHING = Raw()
_new: Callable[[type[Touchpoint], tuple[Any, ...]], Touchpoint] = tuple.__new__
When = tuple[int, int | None]
"""When an event happened and, if that is said, was sent, both by the client's clock and within the years 1-9999."""
SMALL_REST = 4 * 1024
"""Characters of what is kept of an event as sent that are never too many: of as many events as may be, 10 MB."""
MAX_REST = 160 * 1024
"""The most of one event. What its batch shares is kept with each event."""
MAX_RESTS = 16 * 1024 * 1024
"""The most of the larger events of one request."""
EMPTY = len("null")
"""Characters of a part that says nothing: `null` or `{}`."""


class Batch(Struct, gc=False):
    """What the events of one request share while they are judged."""

    call: str
    """The call all its events are, "" when each names its own."""
    sent_us: int | None
    workspace: int
    source: int
    received_us: int
    new_id: Callable[[], str]
    """Gives a random message id for an event that has neither its own nor a time to derive one from."""
    ip: str = SHORTEN
    """What is kept of addresses: one of `privacy.MODES`."""
    horizon_us: int = MIN_US
    """What occurred before it is refused: the workspace does not keep it."""
    consent: str = consents.OFF
    """What becomes of events without consent: one of `consent.MODES`."""
    shared_context: dict[str, Raw] = _EMPTY
    shared_integrations: dict[str, Raw] = _EMPTY
    # The context of the event before: libraries send the same one with each event of a batch.
    context_raw: Raw = _NOTHING
    """The event's own."""
    context: Context = NO_CONTEXT
    """The same, merged over the batch's."""
    context_text: str = ""
    """What is kept of it, as the member of an object."""
    said: tuple[Any, ...] = ()
    """What the properties of an event before said of where it came from, by `HINTS`, and with which call and context:
    browsers say the same with each event of a visit."""
    attribution: Attribution = NOTHING
    """That of this event."""
    consented: bool | None = None
    """What the context says of consent; looked at only if anybody asks."""
    shared: int = 0
    """Characters of what is shared by all, which every event is kept with."""
    rests: int = 0
    """Characters kept of its larger events so far."""

    def weigh(self, rest: int) -> None:
        """Take note of an event of which so many characters are to be kept.

        Raises:
            RefusedError: too many of this event, or of all. A batch that shares much with many events is a small body.
        """
        self.rests += rest
        if rest > MAX_REST or self.rests > MAX_RESTS:
            what, most = ("it", MAX_REST) if rest > MAX_REST else ("all events", MAX_RESTS)
            refuse("too_large", "", f"with what the batch shares {what} would have more than {most} characters")

    def look_at_context(self, raw: Raw) -> None:
        """Take an event's context, merged over the batch's.

        Raises:
            RefusedError: it is not an object.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        merged = _merged("context", raw, self.shared_context)
        self.take_context(look(merged, _object("context", merged)))
        self.context_raw = raw

    def take_context(self, context: Context) -> None:
        """Take the context of an event whose dialect has looked at it."""
        raw, read = context.raw, context.read
        kept = of_context(read, raw, self.ip) if "ip" in read else raw
        self.context_text = f'"context":{_json(kept)}' if read and len(kept) > EMPTY else ""
        if self.consent != consents.OFF:
            self.consented = consents.of_context(read)
        self.context, self.context_raw = context, raw

    def attribution_of(self, properties: dict[str, Any], call: str) -> Attribution:
        """Where an event of the context at hand came from."""
        said = (call, self.context, *map(properties.get, HINTS))
        if said != self.said:
            self.said, self.attribution = said, attribution_of(self.context.origin, properties, call)
        return self.attribution


def measure(raw: bytes | Raw, most: int = MAX_EVENT_BYTES) -> None:
    """Check what has to hold before an event is looked into: its size and its nesting.

    Raises:
        RefusedError: too large, nested too deeply, or what else `careful.defect_of` finds in it.
        ServiceError: not JSON at all.
    """
    size = len(raw)
    if size > most:
        refuse("too_large", "", f"the event has {size} bytes, {most} are allowed")
    if size > 2 * MAX_DEPTH and careful.may_be_deep(bytes(raw)):
        look_closely(raw)


def look_closely(raw: bytes | Raw) -> None:
    """Find what is wrong with an event that can not be read.

    Raises:
        RefusedError: what `careful.defect_of` finds.
        ServiceError: not JSON at all.
    """
    found = careful.defect_of(bytes(raw))
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
            properties = _object("properties", event.properties)
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

    if occurred_us < batch.horizon_us:
        kept = rfc3339(batch.horizon_us)
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
            properties = _object("properties", event.properties)
        if properties:
            rest.append(f'"properties":{_json(event.properties)}')
            fields = read_fields(properties, notes)
            hinted = not properties.keys().isdisjoint(PROPERTY_HINTS)
    if not fields[0] and call == "track":
        missing = orders.missing_id(name)
        if missing is not None:
            notes.append(missing)
    if event.traits and _object("traits", event.traits):
        rest.append(f'"traits":{_json(event.traits)}')
    if context is not None:
        if context is not batch.context:
            batch.take_context(context)
    elif event.context != batch.context_raw:
        batch.look_at_context(event.context)
    if batch.context_text:
        rest.append(batch.context_text)
    integrations = _merged("integrations", event.integrations, batch.shared_integrations)
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


def _object(name: str, raw: Raw) -> dict[str, Any]:
    """One of the objects an event carries; empty when it is not given.

    Raises:
        RefusedError: it is not an object.
        msgspec.DecodeError: it holds a number that is out of range.
    """
    if not raw:
        return _EMPTY
    value = _ANY.decode(raw)
    if type(value) is dict:
        return value
    if value is not None:
        refuse("wrong_type", name, f"{name} has to be an object, got {json_type(value)}")
    return _EMPTY


def _json(raw: Raw) -> str:
    return str(raw, "utf-8")


def _checked(name: str, raw: Raw) -> str:
    """A member of the rest that nobody here looks into, once it is known that it can be read."""
    _ANY.decode(raw)
    return f'"{name}":{_json(raw)}'


def _merged(name: str, own: Raw, shared: dict[str, Raw]) -> Raw:
    """An event's own part over the one its batch gives to all."""
    if not shared:
        return own
    try:
        fields = _FIELDS.decode(own) if own and bytes(own) != b"null" else {}
    except msgspec.ValidationError:
        refuse("wrong_type", name, f"{name} has to be an object")
    return Raw(msgspec.json.encode({**shared, **fields}))
