"""One parsed event of any dialect, made into a touchpoint: call, who, when, what, and what is kept besides. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct

from services.ingest.dialects.base import NO_MEMBERS, ParsedEvent, Rules, When
from services.ingest.enrich.attribution import (
    ATTRIBUTION_PROPERTIES,
    NO_ATTRIBUTION,
    Attribution,
    adds_nothing,
    attribution_of,
)
from services.ingest.enrich.context import Context
from services.ingest.event.event import CALLS, NO_RAW, Event
from services.ingest.event.ids import are_usual_ids, read_id
from services.ingest.event.times import SKEW_US
from services.ingest.event.verdict import (
    MAX_MESSAGE_ID,
    MAX_TEXT,
    Verdict,
    faults_among,
    reject,
    rejected_for,
    warning,
)
from services.ingest.validate import consent, order_names, privacy, share_names
from services.ingest.validate.checks import (
    CheckedName,
    check_call,
    check_ids,
    check_name,
    check_order,
    check_properties,
    check_shipped_name,
    shipped_names,
    without_case,
)
from services.ingest.validate.fields import NONE, Fields, read_fields, with_refunded_sum
from services.ingest.validate.kept import (
    EMPTY_LENGTH,
    NO_KEPT_CONTEXT,
    KeptContext,
    decode_object,
    kept_of,
    kept_of_raw,
    merged,
    others_of,
)
from services.ingest.validate.when import check_times
from throughline.kit.clock import EPOCH, to_us
from throughline.store.access.modes import ConsentMode, IpMode
from throughline.wire.codec import Touchpoint

SMALL_REST = 4 * 1024
"""Number of kept characters of one event that count as nothing: `MAX_EVENTS` times as many are 10 MB."""
MAX_REST = 160 * 1024
"""Maximum number of kept characters of one event, with what its batch shares."""
MAX_RESTS = 4 * 1024 * 1024
"""Maximum number of kept characters of all events of a request that have more than `SMALL_REST`."""
MAX_SHARED = 4 * 1024 * 1024
"""Maximum number of characters of all copies of what a batch shares: further events are kept without it."""

_CONSENT_OFF = ConsentMode.OFF  # looking up a member of an enum takes as long as a function call
MAX_CONTEXTS = 64
"""Maximum number of contexts of one request that are remembered."""
MAX_HINTED_NAMES = 32
"""Maximum number of names of one request, none of them shipped, that are compared with the vocabulary."""
LONG_TEXT = 400
"""Number of characters of properties from which on it is faster to ask their names whether they hold an address."""
_PROPERTIES_START = len('"properties":')
_CALLS = frozenset(CALLS)
_FIELDS = msgspec.json.Decoder(dict[str, Raw])
_ANY = msgspec.json.Decoder()
_EMPTY: dict[str, Any] = {}
_BOT = warning("bot", "context.userAgent", "sent by a crawler: kept, and left out of every journey")
_BOT_ORDER = warning(
    "bot", "context.userAgent", "the user agent is a crawler's: the order counts, and it has no attribution"
)
_SHARED_LEFT_OUT = warning(
    "shared_left_out",
    "context",
    f"what the batch shares is not kept with this event: its copies would have more than {MAX_SHARED} characters; "
    "send fewer events at once",
)
_VIEWS = frozenset({"page", "screen"})
"""Calls that only a browser or an app makes: a server that looks at a page is a crawler."""
_new: Callable[[type[Touchpoint], list[Any]], Touchpoint] = tuple.__new__


class TouchpointBuilder(Struct, gc=False):
    """Builds the touchpoints of one request's events: the settings that hold for all of them, and three caches.

    Libraries send the same few contexts with the events of a batch, so that each is remembered, parsed; the last one is
    found without a look-up. So is the last attribution, and what is wrong with each name.
    """

    call: str
    """The call of every event, "" when each names its own."""
    sent_us: int | None
    is_sent_usual: bool | None
    """Whether `sent_us` says that the client's clock is right; None when it is None."""
    workspace: int
    source: int
    received_us: int
    new_id: Callable[[], str]
    ip: IpMode
    """What is kept of addresses."""
    retention_cutoff_us: int
    """Events that happened before this instant are rejected: the workspace does not keep them."""
    oldest_us: int
    """The later of `retention_cutoff_us` and `earliest_us`."""
    consent: ConsentMode
    """What becomes of events without consent."""
    rules: Rules
    earliest_us: int
    """Nobody can have meant a time before this instant."""
    is_history: bool
    """Whether an event without a time that can be believed is refused: it did not happen now."""
    ahead_us: dict[str, int]
    """Filled with device -> how far its clock is ahead, of events with a time in the future that do not say when they
    were sent."""
    order_scope: str = ""
    """What the order ids of the source begin with, "" for nothing."""
    fold_case: bool = False
    """Whether ids that are email addresses are put into lower case."""
    no_visit_hosts: tuple[str, ...] = ()
    """Hosts that are no referrers, besides the ones that are known."""
    from_server: bool = False
    """Whether only servers send by the request's path: no event of theirs is a crawler's."""
    shared_context: Mapping[str, Raw] = NO_MEMBERS
    shared_integrations: Mapping[str, Raw] = NO_MEMBERS
    shared_bytes: int = 0
    context_raw: Raw | None = NO_RAW
    """The context of the last event, as it was sent; None before the first one of a request that shares a context."""
    links: int = 0
    """Maximum number of links that the touchpoints so far make."""
    _rests: int = 0
    """Number of kept characters of the larger events so far."""
    _shared: int = 0
    """Number of characters of the copies of what the batch shares so far."""
    _context: KeptContext = NO_KEPT_CONTEXT
    _contexts: dict[bytes | int, KeptContext] = msgspec.field(default_factory=dict)
    """Context of an event, as it was sent, or the `id` of one that its dialect parsed -> what is kept of it."""
    _attribution_key: tuple[Any, ...] = ()
    """The call, the context and the properties that `_attribution` was made of."""
    _attribution: Attribution = NO_ATTRIBUTION
    _names: dict[str | None, CheckedName] = msgspec.field(default_factory=dict)
    """Name of a track call's event -> what there is to say of it, of the names so far that are not shipped."""
    _leaves_out_shared: bool = False
    """Whether there is no room for more copies of what the batch shares."""
    _has_cleaned_id: bool = False
    """Whether a warning of the request says `cleaned_id`."""
    _sent_at: datetime | None = None
    """The last event's own time of sending: most libraries say the same with each event of a request."""
    _is_sent_at_usual: bool = True
    _properties: dict[str, Any] | None = None
    """The last properties that a dialect gave decoded, unless there was a warning about them."""
    _fields: Fields = NONE
    """Their typed fields."""
    _says_origin: bool = False
    """Whether they say where their event came from."""
    _traits: Raw = NO_RAW
    """The last event's traits, if there were any: a request of one person may give them once."""
    _traits_text: str = ""
    """They, as a member of a JSON object."""
    _may_traits_hold_address: bool = False
    _others: str = ""
    """The last event's members beside properties, traits and context, as JSON without the outer braces."""
    _kept_others: str = ""
    """What is kept of them."""

    def build(self, parsed: ParsedEvent, place: int) -> Touchpoint:
        """Returns the touchpoint of one event, by its place in the request; what was mended goes to its warnings.

        Raises:
            DroppedError: the source asks for consent, and the event has none.
            RejectedError: the event can not be kept.
            msgspec.DecodeError: one of its members is JSON that can not be decoded.
        """
        if parsed.rejection is not None:
            raise rejected_for(parsed.rejection)
        event = parsed.event
        assert event is not None
        warnings = parsed.warnings
        if self.shared_bytes:
            self._count_shared(len(parsed.raw), warnings)
        call = self.call or event.type or ""
        if self.consent is not _CONSENT_OFF:
            # Before anything else: an event without consent often has no id either.
            self._require_consent(parsed, event, call)
        named, missing = None, None
        if call == "track":
            named = shipped_names.get(event.event) or self._names.get(event.event)
            if named is None:
                named = self._named(check_call(event, call))
            name, missing = named.name, named.missing
            if named.unknown is not None:
                warnings.append(named.unknown)
        else:
            name = event.name or ""
            if call not in _CALLS or len(name) > MAX_TEXT:
                check_call(event, call)
        user, anonymous, previous = event.userId or "", event.anonymousId or "", ""
        message_id = event.messageId or ""
        has_usual_ids = are_usual_ids(f"{user} {anonymous} {message_id}") is not None
        if not has_usual_ids or call == "alias" or not (user or anonymous):
            user, anonymous, previous = check_ids(event, call, warnings)
        if user and (anonymous or previous):
            self.links += 2 if previous else 1
        if self.fold_case:
            user, anonymous, previous = map(without_case, (user, anonymous, previous))
        client_us = self._usual_us(event, parsed.when)
        if client_us:
            occurred_us = client_us if client_us <= self.received_us else self.received_us
        else:
            occurred_us, client_us = check_times(self, event, parsed.when, warnings, anonymous or user)
        if not has_usual_ids:
            message_id = read_id(message_id, "messageId", warnings, MAX_MESSAGE_ID)
            if not message_id:
                message_id = self._missing_message_id(parsed, client_us)
        properties, fields, says_origin = _EMPTY, NONE, False
        if event.properties:
            decoded = parsed.properties
            properties = _ANY.decode(event.properties) if decoded is None else decoded
            if type(properties) is not dict:
                properties = decode_object("properties", event.properties)
            if properties is self._properties:
                fields, says_origin = self._fields, self._says_origin
            elif properties:
                count = len(warnings)
                fields, says_origin = read_fields(properties, warnings)
                if decoded is not None and len(warnings) == count:
                    self._properties, self._fields, self._says_origin = decoded, fields, says_origin
        if fields[-1] or (missing is not None and not fields[0]):
            fields = check_order(fields, missing, warnings) if call == "track" else (*fields[:-1], False)
        if missing is not None and fields[1] is None and properties and order_names.is_refund(name):
            fields = with_refunded_sum(fields, properties, warnings)
        if self.order_scope and fields[0]:
            fields = (self.order_scope + fields[0], *fields[1:])
        rest, may_hold_address = "", False
        if properties:
            rest = f'"properties":{str(event.properties, "utf-8")}'
            if len(rest) <= LONG_TEXT or not privacy.has_no_address(properties, rest, _PROPERTIES_START, self.rules):
                may_hold_address = privacy.may_hold_address(rest)
        if event.traits is not NO_RAW:
            traits = self._text_of_traits(event.traits)
            if traits:
                may_hold_address = may_hold_address or self._may_traits_hold_address
                rest = f"{rest},{traits}" if rest else traits
        kept_context = self._context
        context = parsed.context
        if context is not kept_context.context if context is not None else event.context != self.context_raw:
            kept_context = self._context_of(event, parsed)
        if may_hold_address:
            rest = privacy.kept_of_text(rest, self.ip, self.rules)
        text = kept_context.text
        if self._leaves_out_shared:
            text = kept_of_raw(bytes(event.context), self.ip, self.consent, self.rules).text
        if text:
            rest = f"{rest},{text}" if rest else text
        others = parsed.extra
        if (
            len(event.integrations) > EMPTY_LENGTH
            or self.shared_integrations
            or event.groupId is not NO_RAW
            or event.category is not NO_RAW
            or event.channel is not NO_RAW
            or event.rudderId is not NO_RAW
            or event.receivedAt is not NO_RAW
            or event.metadata is not NO_RAW
        ):
            shared_integrations = NO_MEMBERS if self._leaves_out_shared else self.shared_integrations
            others = others_of(event, shared_integrations, others, warnings)
        if others:
            if others != self._others:
                self._others, self._kept_others = others, privacy.kept_of_text(others, self.ip, self.rules)
            if self._kept_others:
                rest = f"{rest},{self._kept_others}" if rest else self._kept_others
        rest = f"{{{rest}}}"
        context = kept_context.context
        attribution, is_bot = context.attribution, False
        if says_origin or self.no_visit_hosts:
            attribution = self._attribution_of(context, properties, call)
        if named is not None:
            if named.is_share and "code" in properties:
                attribution = self._with_claim(attribution, context, event, properties, call)
        elif call == "identify" and '"referral' in self._traits_text:
            attribution = self._with_claim(attribution, context, event, properties, call)
        if context.bot and not (self.from_server or (context.server and call not in _VIEWS)):
            if call == "track" and (fields[0] or order_names.is_order(name)):
                attribution = NO_ATTRIBUTION
                warnings.append(_BOT_ORDER)
            else:
                is_bot = True
                warnings.append(_BOT)
        if len(rest) > SMALL_REST and not self.shared_bytes:
            self._count_rest(len(rest))
        if warnings:
            self._say_once(warnings)
        order_id, value, currency, rating, score, product_id, quantity, total, items, test = fields
        values = [
            occurred_us,
            place,
            message_id,
            user or anonymous,
            call,
            name,
            self.workspace,
            self.source,
            attribution.channel,
            self.received_us,
            client_us,
            user,
            anonymous,
            previous,
            order_id,
            value,
            currency,
            rating,
            score,
            product_id,
            quantity,
            total,
            items,
            test,
            tuple([warning.code for warning in warnings]) if warnings else (),
            rest,
            is_bot,
            attribution.facts,
        ]
        # Not `Touchpoint(...)`, whose __new__ is Python and four times slower.
        return _new(Touchpoint, values)

    def _named(self, name: str) -> CheckedName:
        """Returns what there is to say of a new name of a track call's event."""
        shipped = check_shipped_name(name)
        if shipped is not None:
            return shipped
        if len(self._names) >= MAX_HINTED_NAMES:
            return CheckedName(name, None, order_names.missing_id(name), share_names.is_share(name))
        named = self._names[name] = check_name(name)
        return named

    def faults(self, parsed: ParsedEvent) -> list[Verdict]:
        """Returns all that is wrong with an event which is rejected, and then its warnings, as far as it could be
        read: every check on its own."""
        event, warnings = parsed.event, [*parsed.warnings]
        faults: list[Verdict] = []
        if event is not None:
            call = self.call or event.type or ""
            missing = order_names.missing_id(event.event or "") if call == "track" else None
            checks: list[Callable[[], object]] = [
                partial(check_call, event, call),
                partial(read_id, event.userId, "userId", warnings),
                partial(read_id, event.anonymousId, "anonymousId", warnings),
                partial(check_ids, event, call, [*parsed.warnings]),
                partial(check_times, self, event, parsed.when, warnings, ""),
                partial(read_id, event.messageId, "messageId", warnings, MAX_MESSAGE_ID),
                partial(check_properties, event, parsed.properties, missing, warnings),
                partial(decode_object, "traits", event.traits),
                partial(decode_object, "context", event.context),
            ]
            faults = faults_among(checks)
        return faults + warnings

    def _say_once(self, warnings: list[Verdict]) -> None:
        """Leave out what a client that is set up wrongly would be told of every event of its request."""
        for each in warnings:
            if each.code == "cleaned_id":
                if self._has_cleaned_id:
                    warnings[:] = [each for each in warnings if each.code != "cleaned_id"]
                self._has_cleaned_id = True
                return

    def _require_consent(self, parsed: ParsedEvent, event: Event, call: str) -> None:
        if parsed.properties is None:
            parsed.properties = decode_object("properties", event.properties)
        consent.require(
            self._context_of(event, parsed).consent,
            call if call in _CALLS else "",
            event.event or "",
            parsed.properties,
            self.consent,
            self.rules.consent,
        )

    def _usual_us(self, event: Event, when: When | None) -> int:
        """Returns the client's time of an event, which happened then, or when received if that was earlier; 0 for an
        event of which more has to be asked, by `check_times`."""
        if when is not None:
            client_us, sent_us = when
            is_usual = None if sent_us is None else 0 <= self.received_us - sent_us <= SKEW_US
        else:
            client = event.originalTimestamp or event.timestamp
            if client is None or client.tzinfo is None or event.receivedAt:
                return 0
            since = client - EPOCH
            client_us = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
            sent = event.sentAt
            if sent is None:
                is_usual = self.is_sent_usual
            elif sent is self._sent_at or sent == self._sent_at:
                is_usual = self._is_sent_at_usual
            else:
                is_usual = 0 <= self.received_us - to_us(sent) <= SKEW_US
                self._sent_at, self._is_sent_at_usual = sent, is_usual
        received_us = self.received_us
        if client_us > received_us:
            # Up to so much later, clock and time of transit may say; without a time of sending, a fast clock may too.
            is_usual = is_usual is True and client_us - received_us <= SKEW_US and self.oldest_us <= received_us
        return client_us if is_usual is not False and self.oldest_us <= client_us else 0

    def _missing_message_id(self, parsed: ParsedEvent, client_us: int) -> str:
        """Returns an id that a retry of the same event gets again, if the event has a time; else a random one."""
        if not client_us:
            parsed.warnings.append(
                warning(
                    "missing_message_id", "messageId", "without messageId and timestamp a retry counts as another event"
                )
            )
            return self.new_id()
        digest = blake2b(f"{self.source}\0{self.call}\0".encode(), digest_size=16)
        # Of what is kept of a rejected event, so that the event has the same id when it is sent again.
        payload = privacy.kept_of_rejected(bytes(parsed.raw), self.ip, self.rules)
        try:
            fields = _FIELDS.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError):  # not JSON
            digest.update(payload)
            return digest.hexdigest()
        for volatile in ("sentAt", "writeKey", "_metadata"):
            fields.pop(volatile, None)
        digest.update(msgspec.json.encode(fields, order="sorted"))
        return digest.hexdigest()

    def _text_of_traits(self, traits: Raw) -> str:
        """Returns traits as a member of a JSON object, "" for none; the last ones are remembered."""
        if traits is not self._traits:
            if not decode_object("traits", traits):
                return ""
            self._traits, self._traits_text = traits, f'"traits":{str(traits, "utf-8")}'
            self._may_traits_hold_address = privacy.may_hold_address(self._traits_text)
        return self._traits_text

    def _context_of(self, event: Event, parsed: ParsedEvent) -> KeptContext:
        """Returns an event's context, merged over that of its request; the last one is remembered.

        Raises:
            RejectedError: the context is not an object.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        context = parsed.context
        if context is self._context.context or (context is None and event.context == self.context_raw):
            return self._context
        raw = event.context if context is None else context.raw
        key: bytes | int = bytes(raw) if context is None else id(context)
        kept_context = self._contexts.get(key) if self._contexts else None
        if kept_context is None:
            if context is not None:
                kept_context = kept_of(context, self.ip, self.consent, self.rules)
            else:
                whole = bytes(merged("context", raw, self.shared_context)) if self.shared_context else bytes(raw)
                kept_context = kept_of_raw(whole, self.ip, self.consent, self.rules)
            if self._context is not NO_KEPT_CONTEXT and len(self._contexts) < MAX_CONTEXTS:
                self._contexts[key] = kept_context  # which holds the context, so that no other has its `id`
        self._context, self.context_raw = kept_context, raw
        return kept_context

    def _attribution_of(self, context: Context, properties: dict[str, Any], call: str) -> Attribution:
        """Returns where an event came from; browsers say the same with each event of a visit."""
        if not self.no_visit_hosts and adds_nothing(context.origin, properties, call):
            return context.attribution
        key = (call, context, *map(properties.get, ATTRIBUTION_PROPERTIES))
        if key != self._attribution_key:
            self._attribution_key = key
            self._attribution = attribution_of(context.origin, properties, call, self.no_visit_hosts)
        return self._attribution

    def _with_claim(
        self, attribution: Attribution, context: Context, event: Event, properties: dict[str, Any], call: str
    ) -> Attribution:
        """Returns the attribution of an event with the referral code that the customer passes on, in its facts only: it
        is not what brought the customer."""
        if call == "track":
            code = properties["code"]
        else:
            traits = decode_object("traits", event.traits)
            code = traits.get("referral_code") or traits.get("referralCode")
        if not code or any(name in properties for name in ("referral_code", "referralCode")):
            return attribution
        facts = attribution_of(context.origin, {**properties, "referral_code": code}, call, self.no_visit_hosts).facts
        return Attribution(attribution.channel, facts)

    def _count_shared(self, own: int, warnings: list[Verdict]) -> None:
        """Count an event of `own` bytes with its copy of what the batch shares, as long as there is room for copies: a
        batch that shares much with many events is a small body.

        Raises:
            RejectedError: the event alone is too large.
        """
        self._count_rest(own)
        self._shared += self.shared_bytes
        if self._shared > MAX_SHARED:
            self._leaves_out_shared = True
            warnings.append(_SHARED_LEFT_OUT)

    def _count_rest(self, characters: int) -> None:
        """Count the kept characters of one event.

        Raises:
            RejectedError: too many of this event, or of all.
        """
        self._rests += characters
        if characters > MAX_REST or self._rests > MAX_RESTS:
            what, limit = ("the event", MAX_REST) if characters > MAX_REST else ("all events", MAX_RESTS)
            reject("too_large", "", f"{what} would be kept with more than {limit} characters")
