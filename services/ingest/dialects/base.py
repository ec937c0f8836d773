"""The contract between ingest and a dialect: what a dialect receives, what it returns, and how it describes itself.

A dialect translates each event of a request into `Event`, or says why that is impossible. Checks, limits and warnings
that hold for every event follow in `validate/`. Pure.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from msgspec import Raw, Struct

from services.ingest.enrich.context import Context
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict
from throughline.store.access.keys import SourceKey

NO_MEMBERS: Mapping[str, Raw] = {}
_NO_NAMES: Mapping[str, str] = {}

CONSENT_FIELD = "context.consent.analytics"
"""Where an event says whether there is consent for analytics, in the terms of `Event`."""

REPLAYED_LIBRARY = b"x-throughline-library"
"""Header of a replayed event, with `ReplayRequest.library`."""

Reply = Callable[[Sequence[Verdict | None]], tuple[bytes, bytes]]
"""From the verdicts, in the order of the events (None is ok), to a media type and a body; the status is 200."""
When = tuple[int, int | None]
"""When an event happened and when it was sent (None: not said), in microseconds by the client's clock, within the years
1-9999."""


class Request(NamedTuple):
    """One HTTP request with its body unpacked."""

    method: str
    """`POST` or `GET`."""
    path: str
    """As it was sent, perhaps with a slash too many at either end."""
    query: str
    """Raw, without the question mark."""
    headers: Sequence[tuple[bytes, bytes]]
    """Names in lower case."""
    body: bytes
    """At most `MAX_BODY_BYTES`, never gzip."""

    def header(self, name: bytes) -> str:
        """Returns the first header of this name, "" without one."""
        for header, value in self.headers:
            if header == name:
                return value.decode("latin-1")
        return ""


class ParsedEvent(Struct, gc=False):
    """One event of a request, translated or rejected. Not a NamedTuple, which takes three times as long to make."""

    raw: "bytes | Raw | SentEvent"
    """The event as it was sent, whole: what the rejected topic keeps."""
    event: Event | None
    """None when the dialect could not read it."""
    rejection: Verdict | None
    """Why the event is rejected whatever its fields say; None when `event` is to be validated."""
    warnings: list[Verdict]
    """Validation adds to this list."""
    extra: str = ""
    """Members of the event that have no field in `Event`, as JSON without the outer braces."""
    properties: dict[str, Any] | None = None
    """The event's properties, decoded, if the dialect had to do that anyway."""
    context: Context | None = None
    """The event's context, parsed, if the dialect had to do that anyway."""
    when: When | None = None
    """The event's times, if the dialect does not leave them to `event`."""


class SentBody:
    """A body whose events were decoded with it. Their bytes are found when somebody asks for those of one."""

    def __init__(self, find_events: Callable[[], Sequence[Raw]]) -> None:
        self._find_events = find_events
        self._events: Sequence[Raw] | None = None

    def event(self, place: int) -> Raw:
        """Returns an event as it was sent."""
        if self._events is None:
            self._events = self._find_events()
        return self._events[place]


class SentEvent(Struct, gc=False):
    """An event of a `SentBody`; `bytes()` of it is the event as it was sent."""

    body: SentBody
    place: int

    def __bytes__(self) -> bytes:
        return bytes(self.body.event(self.place))

    def __len__(self) -> int:
        return len(self.body.event(self.place))


class ParsedEvents(Protocol):
    """The events of a request in their order: a list, or events that are parsed as they are validated."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[ParsedEvent]: ...


class Signature(NamedTuple):
    """The proof that a request's sender knows its source's secret."""

    sent: str
    """HMAC-SHA256 of the body in base64, as the request has it; "" without one."""
    body: bytes


class ReplayRequest(NamedTuple):
    """The request by which a rejected event is sent again: where to, and what its body holds around the event."""

    path: str
    """With its query, which must hold no write key."""
    content_type: str = "application/json"
    library: str = ""
    """What the request's headers said of the client's library, "" for nothing."""
    member: str | None = None
    """Member of the body that lists events; "" when the body itself is the list, None when it is the event."""
    shared: Mapping[str, Any] = {}
    """Members of the body besides `member`: what the events of the request had in common."""


class ParsedClaim(NamedTuple):
    """A person's claim, as a shop passes it on."""

    call: str
    """Of `throughline/wire/claims.py`."""
    name: str
    """Tells the claim from others; the same when it is sent again."""
    ids: tuple[str, ...]
    """At least one."""


class ParsedRequest(Struct, gc=False):
    """A request of any dialect."""

    write_key: str | None
    """"" when it stands in the header Authorization, where all clients may put it. None when none is needed, because
    nothing of the request is kept: its events are validated and answered only."""
    events: ParsedEvents
    call: str = ""
    """The call of every event; "" when each names its own."""
    sent_us: int | None = None
    """When the client sent the request, by its own clock."""
    shared_context: Mapping[str, Raw] = NO_MEMBERS
    """Members of every event's context that the request gives once; an event's own come before them."""
    shared_integrations: Mapping[str, Raw] = NO_MEMBERS
    """Likewise, of every event's integrations."""
    shared_bytes: int = 0
    """What each event is kept with besides itself."""
    names: Mapping[str, str] = _NO_NAMES
    """The dialect's own names of fields of `Event`, for verdicts: {"userId": "user_id"}."""
    reply: Reply | None = None
    """The answer of clients that need one of their own; None for the usual one."""
    replay_request: Callable[[], ReplayRequest] | None = None
    """Called when an event is rejected; None when a rejected event must never be sent again."""
    signature: Signature | None = None
    """To be checked with the source's secret before anything is validated; None where no signature is needed."""
    is_history: bool = False
    """Whether events tell of the past: those without a time that can be believed are refused, as none happened now."""
    takes_app_id: bool = False
    """Whether a source's app id may stand in for a write key."""
    from_server: bool = False
    """Whether only servers send by this path: what they report counts, whatever user agent it names."""
    claim: "ParsedClaim | None" = None
    """What the request demands for a person; None: nothing but its events."""
    native: bool = False
    """Whether the events are JSON in the terms of `Event`: the bytes of a rejected event say its name and message id,
    and `is_text_checked` holds."""
    is_text_checked: bool = False
    """Whether no text of an event, wherever it comes from, holds half a character or a NUL, which no store takes."""


Parse = Callable[[Request], ParsedRequest]
"""Parses a request.

Raises ServiceError, 400, for a request that cannot be read at all, and nothing else.
"""


Failure = Callable[[str], Mapping[str, Any]]
"""From the message of a request that failed as a whole to what the family's own clients look for in its answer."""


class Route(NamedTuple):
    """One method and path that takes events, and how OpenAPI describes it."""

    method: str
    path: str
    parse: Parse
    summary: str
    example: Any
    """A body (POST) or the parameters of a query (GET)."""
    parameters: tuple[str, ...] = ()
    """Names of query parameters."""
    other_examples: Mapping[str, str] = _NO_NAMES
    """Media type -> example, of bodies that are not JSON."""
    answer: str = "verdicts"
    """Shape of the answer: `verdicts`, `object` (the clients' own JSON) or a media type."""
    documented: bool = True
    """Whether OpenAPI lists the route; aliases of another route are left out."""
    failure: Failure | None = None
    """See `DialectSpec`, which sets it for all of its routes."""


class SettingsRoute(NamedTuple):
    """A GET route that gives a client library its settings before it sends."""

    path: str
    """With `{key}` for the write key, unless `parameter` names it."""
    summary: str
    reply: Callable[[SourceKey, str], bytes]
    """From an enabled source and the key as it was sent to the body."""
    media_type: str = "application/json"
    parameter: str = ""
    """Query parameter that holds the key; "" when the path does."""
    documented: bool = True


Answers = Iterable[bool | None]
"""Answers to the question whether there is consent: yes, no, or None for nothing said."""


class ConsentSources(NamedTuple):
    """Where the events of a dialect say whether there is consent for analytics."""

    context: Mapping[str, Callable[[Any], Answers]] = {}
    """Member of a context -> what its value answers."""
    properties: Mapping[str, Callable[[Any], Answers]] = {}
    """Member of an event's properties -> what its value answers."""
    events: Mapping[str, Callable[[Mapping[str, Any]], Answers]] = {}
    """Name of an event that is an answer itself -> what its properties answer."""
    members: Mapping[str, Callable[[Any], Answers]] = {}
    """Member of an event as it was sent -> what its value answers, for events that could not be parsed."""


class Rules(Struct, frozen=True, eq=False, gc=False):
    """What the specs of all dialects say that holds for the events of each. Rules are compared as objects, so that what
    is kept under them can be remembered."""

    consent: ConsentSources
    key_names: frozenset[str]
    address_members: tuple[str, ...]
    address_parameters: tuple[str, ...]
    kept_names: tuple[tuple[str, str], ...]
    base64_members: tuple[str, ...]


class DialectSpec(NamedTuple):
    """All that the rest of ingest has to know of a dialect."""

    name: str
    routes: tuple[Route, ...]
    key_names: tuple[str, ...] = ()
    """Members of a body that carry the write key."""
    consent: ConsentSources = ConsentSources()
    address_members: tuple[str, ...] = ()
    """Members of JSON that hold an IP address."""
    address_parameters: tuple[str, ...] = ()
    """Query parameters that hold an IP address."""
    kept_names: Mapping[str, str] = _NO_NAMES
    """Member of an event as it is sent -> its name in what is kept, where the two differ."""
    base64_members: tuple[str, ...] = ()
    """Members of an event that hold JSON in base64."""
    settings: tuple[SettingsRoute, ...] = ()
    failure: Failure | None = None
    """Members of the answer to a request that failed, besides those of problem details; None for no others."""
