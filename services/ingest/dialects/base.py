"""The seam of the dialects: what each is given, what it gives, and how that is judged. Pure.

A dialect reads a request and says of each event what it is in Segment's terms (`Event`), or why it can not be read.
Checks, limits and warnings that hold for every event are made afterwards, here and in `touchpoint.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.batch import Batch
from services.ingest.dialects.envelope import Body
from services.ingest.enrich.context import Context
from services.ingest.event import tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import MAX_EVENT_BYTES, MAX_EVENTS, DroppedError, RefusedError, Verdict, refuse
from services.ingest.validate import consent as consents
from services.ingest.validate.privacy import SHORTEN, of_refused
from services.ingest.validate.touchpoint import Result, When, build, look_closely, measure
from throughline.kit.clock import MIN_US
from throughline.kit.errors import ServiceError
from throughline.wire.codec import Envelope, Touchpoint

Reply = Callable[[Sequence[Verdict | None]], tuple[bytes, bytes]]
"""From the verdicts, in the order of the events (None is ok), to a media type and a body; the status is 200."""

_NO_NAMES: Mapping[str, str] = {}
_NO_CONTEXT: Mapping[str, Raw] = {}
_ANY = msgspec.json.Decoder()


class Request(NamedTuple):
    """One request, its body read and unpacked."""

    method: str
    """`POST` or `GET`."""
    path: str
    """As asked, without slashes at its end."""
    query: str
    """Raw, without the question mark."""
    headers: Sequence[tuple[bytes, bytes]]
    """Names in lower case."""
    body: bytes
    """No longer than `MAX_BODY_BYTES`, never gzip."""

    def header(self, name: bytes) -> str:
        """The first header of this name, "" without one."""
        for found, value in self.headers:
            if found == name:
                return value.decode("latin-1")
        return ""


class Item(Struct, gc=False):
    """One event of a request. Not a NamedTuple, which takes three times as long to make."""

    raw: bytes
    """The one event, whole, as sent: what the rejected topic keeps."""
    event: Event | None
    """What it says in Segment's terms, `type` included; None when it is refused."""
    refused: Verdict | None
    notes: list[Verdict]
    """Warnings; a list of its own."""
    extra: str = ""
    """The inside of a JSON object, known to be one: what has no place in `Event`."""
    properties: dict[str, Any] | None = None
    """The event's properties, context and times, decoded, if the dialect had to do that anyway."""
    context: Context | None = None
    when: When | None = None


class Signature(NamedTuple):
    """What a request says that only who knows its source's secret can say."""

    sent: str
    """HMAC-SHA256 of the body in base64, as the request has it; "" without one."""
    body: bytes


class Opened(NamedTuple):
    """A request, opened."""

    write_key: str
    """"" when the request carries it where all may: in the header Authorization."""
    items: list[Item]
    sent_us: int | None = None
    """When the client says it sent, by its own clock."""
    reply: Reply | None = None
    """For clients that need an answer of their own. With a reply and without items no write key is asked for."""
    names: Mapping[str, str] = _NO_NAMES
    """How this dialect calls fields of `Event`, for its verdicts: {"userId": "user_id"}."""
    max_event_bytes: int = MAX_EVENT_BYTES
    context: Mapping[str, Raw] = _NO_CONTEXT
    """What the contexts of all its events hold, where each says it for all."""
    envelope: Callable[[], Envelope] | None = None
    """What each event is sent in to be a request of its own, asked for when one is refused. None: it can not be one."""
    signature: Signature | None = None
    """To be checked with the source's secret before anything is judged; None where none is asked for."""


Dialect = Callable[[Request], Opened | Body]
"""Reads a request; gives a `Body` where the events are Segment's.

Raises ServiceError, 400, for a request that nobody can read, and for nothing else.
"""


def judge(
    opened: Opened,
    *,
    workspace: int,
    source: int,
    received_us: int,
    new_id: Callable[[], str],
    ip: str = SHORTEN,
    retention_cutoff_us: int = MIN_US,
    consent: str = consents.OFF,
) -> Result:
    """A verdict for every event, and the touchpoints of those that are kept. Never raises for an event.

    `ip` says what is kept of addresses, one of `privacy.MODES`; what occurred before `retention_cutoff_us` is refused;
    `consent`, one of `consent.MODES`, says what becomes of events without.

    Raises:
        ServiceError: 400, more events than `MAX_EVENTS`.
    """
    if len(opened.items) > MAX_EVENTS:
        raise ServiceError(
            400, "too_many_events", f"the batch has {len(opened.items)} events, {MAX_EVENTS} are allowed"
        )
    touchpoints: list[Touchpoint] = []
    verdicts: list[Verdict | None] = []
    refused: list[tuple[Verdict, bytes]] = []
    dropped: list[tuple[Verdict, str]] = []
    batch = Batch("", opened.sent_us, workspace, source, received_us, new_id, ip, retention_cutoff_us, consent)
    for item in opened.items:
        notes = item.notes
        try:
            touchpoints.append(_touchpoint(item, batch, opened.max_event_bytes))
        except RefusedError as error:
            verdict = _named(error.verdict, opened.names)
            verdicts.append(verdict)
            verdict, kept = consents.refused(verdict, item.raw, consent, opened.context)
            refused.append((verdict, of_refused(kept, ip)))
        except DroppedError as error:
            verdict = _named(error.verdict, opened.names)
            verdicts.append(verdict)
            dropped.append((verdict, error.name))
        else:
            verdicts.append(_named(notes[0], opened.names) if notes else None)
    return Result(touchpoints, verdicts, refused, dropped)


def _touchpoint(item: Item, batch: Batch, most: int) -> Touchpoint:
    if item.refused is not None:
        raise RefusedError(*item.refused[1:])
    event = item.event
    assert event is not None
    try:
        measure(item.raw, most)
        found = build(event, item.raw, batch, item.notes, item.extra, item.properties, item.context, item.when)
    except (msgspec.DecodeError, RecursionError, ServiceError):
        # Parts of it that a dialect passed on unread: a number out of range, nesting without end.
        _explain(item)
        refuse("unreadable", "", "the event can not be read")
    _look_at_text(found, item)
    return found


def _look_at_text(found: Touchpoint, item: Item) -> None:
    # Dialects take text out of headers, query strings and base64, where it may be any text.
    rest = found.rest
    texts = (
        f"{found.name}{found.actor}{found.message_id}{found.anonymous_id}{found.previous_id}"
        f"{found.order_id}{found.currency}{found.product_id}{found.channel}"
    )
    if not (texts.isascii() and rest.isascii()):
        try:
            f"{texts}{rest}".encode()
        except UnicodeEncodeError:
            refuse("invalid_unicode", "", "not Unicode text: a lone surrogate or bytes not in UTF-8")
    if "\0" in texts or "\0" in rest:
        _explain(item)
        refuse("nul_character", "", "a NUL character can not be stored; leave it out")
    if "\\" in rest and "\\u0000" in rest:
        defect = tolerant_json.defect(_ANY.decode(rest))
        if defect is not None:
            _explain(item)
            raise RefusedError(*defect[1:])


def _explain(item: Item) -> None:
    """Say what is wrong with an event by the fields it was sent with, if it was sent as JSON."""
    try:
        look_closely(item.raw)
    except ServiceError:
        return


def _named(verdict: Verdict, names: Mapping[str, str]) -> Verdict:
    """A verdict in the dialect's own words."""
    own = names.get(verdict.field)
    if own is None:
        return verdict
    return verdict._replace(field=own, message=verdict.message.replace(verdict.field, own))
