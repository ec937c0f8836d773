"""What the events of one request share while they are judged, and parts of an event merged over it. Pure."""

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.enrich.attribution import ATTRIBUTION_PROPERTIES, NO_ATTRIBUTION, Attribution, attribution_of
from services.ingest.enrich.context import NO_CONTEXT, Context, parse_context
from services.ingest.event.verdict import json_type, refuse
from services.ingest.validate import consent as consents
from services.ingest.validate.privacy import SHORTEN, of_context
from throughline.kit.clock import MIN_US

SMALL_REST = 4 * 1024
"""Characters of what is kept of an event as sent that are never too many: of as many events as may be, 10 MB."""
MAX_REST = 160 * 1024
"""The most of one event. What its batch shares is kept with each event."""
MAX_RESTS = 16 * 1024 * 1024
"""The most of the larger events of one request."""
EMPTY = len("null")
"""Characters of a part that says nothing: `null` or `{}`."""

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_EMPTY: dict[str, Any] = {}
_NOTHING = Raw()


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
    retention_cutoff_us: int = MIN_US
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
    """The inputs of `attribution`: call, context and `ATTRIBUTION_PROPERTIES`. A browser sends the same ones with each
    event of a visit."""
    attribution: Attribution = NO_ATTRIBUTION
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
        whole = merged("context", raw, self.shared_context)
        self.take_context(parse_context(whole, object_of("context", whole)))
        self.context_raw = raw

    def take_context(self, context: Context) -> None:
        """Take the context of an event whose dialect has looked at it."""
        raw, read = context.raw, context.decoded
        kept = of_context(read, raw, self.ip) if "ip" in read else raw
        self.context_text = f'"context":{text_of(kept)}' if read and len(kept) > EMPTY else ""
        if self.consent != consents.OFF:
            self.consented = consents.of_context(read)
        self.context, self.context_raw = context, raw

    def attribution_of(self, properties: dict[str, Any], call: str) -> Attribution:
        """Where an event of the context at hand came from."""
        said = (call, self.context, *map(properties.get, ATTRIBUTION_PROPERTIES))
        if said != self.said:
            self.said, self.attribution = said, attribution_of(self.context.origin, properties, call)
        return self.attribution


def object_of(name: str, raw: Raw) -> dict[str, Any]:
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


def text_of(raw: Raw) -> str:
    return str(raw, "utf-8")


def merged(name: str, own: Raw, shared: dict[str, Raw]) -> Raw:
    """An event's own part over the one its batch gives to all."""
    if not shared:
        return own
    try:
        fields = _FIELDS.decode(own) if own and bytes(own) != b"null" else {}
    except msgspec.ValidationError:
        refuse("wrong_type", name, f"{name} has to be an object")
    return Raw(msgspec.json.encode({**shared, **fields}))
