"""Parses a webhook of Shopify: one event of a store, and the links between ids that it tells of. Pure.

The webhook's topic is the event's name. fields.py lists what is kept of a payload: nothing that says where somebody
lives or how to reach them. `ParsedEvent.raw` is the event as it is kept, so that a rejected one says no more.
"""

from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    ParsedClaim,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
    Signature,
)
from services.ingest.dialects.shopify.fields import SHOP_HEADER, context_of, objects_of, properties_of, text_of
from services.ingest.dialects.split import is_clean, size_rejection
from services.ingest.enrich.context import parse_context
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.ids import clean_id, read_id
from services.ingest.event.verdict import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_ID,
    MAX_TEXT,
    RejectedError,
    Verdict,
    faults_among,
    json_type,
    warning,
)
from throughline.kit.errors import ServiceError
from throughline.wire.claims import COPY, ERASE

SIGNATURE_HEADER = b"x-shopify-hmac-sha256"
ANONYMOUS_ID_ATTRIBUTES = ("throughline_anonymous_id", "anonymousId")
"""Cart attributes in which a store's pages may leave the anonymous id of their visitor."""
CONSENT_ATTRIBUTES = ("throughline_consent",)
"""Cart attributes in which they may leave whether the visitor consents to analytics: granted or denied."""

_NOBODY = "nobody-1"
"""Id of an event that is rejected for other reasons than that it has none."""
_ANY = msgspec.json.Decoder()
_TRIGGERED_HEADER = "X-Shopify-Triggered-At"
_FIELD_NAMES = {
    "event": "X-Shopify-Topic",
    "messageId": "X-Shopify-Event-Id",
    "timestamp": _TRIGGERED_HEADER,
    "userId": "customer.id",
    "anonymousId": "note_attributes",
    CONSENT_FIELD: "note_attributes.throughline_consent",
}
_LINKING_TOPICS = frozenset({"orders/create", "orders/paid", "checkouts/create", "checkouts/update"})
"""Topics that link a cart and an order to their customer. The links hold for later events of the order, which need not
name the customer."""
_MERGE_TOPIC = "customers/merge"
_ORDER_TOPICS = frozenset({"orders/create", "orders/paid"})
"""Topics of an order that tells when it was placed, which for an imported one was long before."""
_IMPORTED_AFTER_US = 60_000_000
"""Time between an order's placing and its making in the store from which on it was imported."""
_FINAL_CODES = frozenset({"test_webhook", "unfinished_merge", "unsupported_topic"})
"""Codes of rejections after which a webhook must not be sent again."""
_CLAIMING_TOPICS = {"customers/data_request": COPY, "customers/redact": ERASE}
_PRIVACY_TOPICS = frozenset({*_CLAIMING_TOPICS, "shop/redact"})


def parse_webhook(request: Request) -> ParsedRequest:
    """Parses one webhook: its event, and an alias call for each link. The query has the write key, as `writeKey`.

    Raises:
        ServiceError: 400, the body cannot be read.
    """
    payload = _payload(request.body)
    topic = request.header(b"x-shopify-topic").strip().lower()
    claim = _claim(request, topic, payload)
    if claim is not None:
        return ParsedRequest(_write_key(request), [], signature=_signature(request), claim=claim)
    events = [_merge(request, payload) if topic == _MERGE_TOPIC else _event(request, topic, payload)]
    rejection = events[0].rejection
    if rejection is not None and rejection.code == "too_large":
        rejection = None  # it links its ids all the same
    if topic in _LINKING_TOPICS and rejection is None and payload.get("test") is not True:
        events += _links(topic, payload)
    is_final = rejection is not None and any(fault.code in _FINAL_CODES for fault in (rejection, *rejection.others))
    return ParsedRequest(
        _write_key(request),
        events,
        names=_FIELD_NAMES,
        replay_request=None if is_final else _replay_request,
        signature=_signature(request),
        from_server=True,
    )


def _write_key(request: Request) -> str:
    return parse_qs(request.query, errors="replace").get("writeKey", [""])[0]


def _signature(request: Request) -> Signature:
    return Signature(request.header(SIGNATURE_HEADER), request.body)


def _claim(request: Request, topic: str, payload: dict[str, Any]) -> ParsedClaim | None:
    """Returns what a webhook demands for a customer; None when it is of another topic, a test, or names nobody.

    The customer's ids are the store's number, the email address as it is and in lower case, and those of its orders.
    """
    call = _CLAIMING_TOPICS.get(topic)
    if call is None or request.header(b"x-shopify-test").strip().lower() == "true":
        return None
    customer = payload.get("customer")
    customer = customer if isinstance(customer, dict) else {}
    email = text_of(customer.get("email"))
    orders = payload.get("orders_to_redact" if call == ERASE else "orders_requested")
    names = [text_of(customer.get("id")), email, email.lower()]
    names += [order_actor(text) for order in (orders if isinstance(orders, list) else ()) if (text := text_of(order))]
    ids = tuple(dict.fromkeys(clean_id(name) for name in names if _is_usable_id(name) and _is_storable(name)))
    return ParsedClaim(call, _message_id(f"{topic}:{_event_id(request)}"), ids) if ids else None


def order_actor(order_id: str) -> str:
    """Returns the anonymous id of an order whose customer is not known."""
    return f"shopify-order-{order_id}"


def _replay_request() -> ReplayRequest:
    # Nobody but Shopify can sign a webhook. What is kept of it has the shape of Segment's events.
    return ReplayRequest("/v1/batch", member="batch")


def _payload(body: bytes) -> dict[str, Any]:
    value: Any = None
    if is_clean(body):
        with suppress(msgspec.DecodeError, RecursionError):
            value = _ANY.decode(body)
    if value is None:
        if body.lstrip()[:1] == b"<":
            raise ServiceError(400, "unreadable_json", "the webhook is XML; have the shop send it as JSON")
        value = tolerant_json.load(body)
    if not isinstance(value, dict):
        raise ServiceError(400, "wrong_type", f"the body has to be an object, got {json_type(value)}")
    return value


def _event(request: Request, topic: str, payload: dict[str, Any]) -> ParsedEvent:
    name, event_id, triggered_at = topic, _event_id(request), request.header(_TRIGGERED_HEADER.lower().encode())
    time = triggered_at or text_of(payload.get("updated_at")) or text_of(payload.get("created_at"))
    if topic in _ORDER_TOPICS:
        time = _imported_time(payload) or time
    order_id = _order_id(topic, payload)
    is_refunded = topic == "orders/updated" and payload.get("financial_status") == "refunded"
    if is_refunded:
        # An order may be updated again after its last refund: with this id all those updates are one event.
        name, event_id, time = "Order Refunded", f"refunded:{order_id}", _last_refund(payload) or time
    elif topic == "orders/updated" and payload.get("financial_status") == "voided":
        name, event_id = "Order Cancelled", f"voided:{order_id}"
    properties = properties_of(topic, payload, request.header(SHOP_HEADER), order_id)
    if is_refunded:
        for sum_or_lines in ("value", "total", "products"):
            properties.pop(sum_or_lines, None)  # the refund is one of the whole order
    event: dict[str, Any] = {
        "type": "track",
        "event": name,
        "messageId": _message_id(f"{topic}:{event_id}"),
        "timestamp": time,
        "properties": properties,
        "context": context_of(payload, request) | _consent(payload),
    }
    try:
        event["userId"] = _customer_id(topic, payload)
        event["anonymousId"] = next(iter(_anonymous_ids(topic, payload)), "")
        faults = _faults(request, topic, has_id=bool(event["userId"] or event["anonymousId"]))
    except RejectedError:
        faults = _faults(request, topic, has_id=True)
        faults += faults_among((partial(_customer_id, topic, payload), partial(_anonymous_ids, topic, payload)))
    return _parsed(event, faults)


def _imported_time(payload: dict[str, Any]) -> str:
    """Returns when an order was placed that was brought into the store later, from another one; "" for any other."""
    processed = text_of(payload.get("processed_at"))
    try:
        placed, made = times.parse(processed, ""), times.parse(text_of(payload.get("created_at")), "")
        if placed is None or made is None:
            return ""
        return processed if times.instant(made, "") - times.instant(placed, "") > _IMPORTED_AFTER_US else ""
    except RejectedError:
        return ""


def _merge(request: Request, payload: dict[str, Any]) -> ParsedEvent:
    """Returns the alias call of two customers that the store has made one."""
    kept, gone = (
        text_of(payload.get(f"admin_graphql_api_customer_{which}_id")).rpartition("/")[2]
        for which in ("kept", "deleted")
    )
    faults = _faults(request, _MERGE_TOPIC, has_id=bool(kept and gone))
    status = text_of(payload.get("status")).lower()
    if status not in ("", "completed"):
        message = f"the merge is {status[:100]!r}, not completed: nobody is joined"
        faults.append(Verdict("rejected", "unfinished_merge", "status", message))
    event = {
        "type": "alias",
        "messageId": _message_id(f"{_MERGE_TOPIC}:{_event_id(request)}"),
        "timestamp": request.header(_TRIGGERED_HEADER.lower().encode()),
        "userId": kept,
        "previousId": gone,
    }
    return _parsed(event, faults)


def _faults(request: Request, topic: str, *, has_id: bool) -> list[Verdict]:
    """Returns every reason why a webhook belongs to no journey."""
    found: list[tuple[str, str, str]] = []
    if not topic:
        found.append(("missing_field", "X-Shopify-Topic", "a webhook has to name its topic in this header"))
    is_test = request.header(b"x-shopify-test").strip().lower() == "true"
    if is_test:
        message = "a test with a made-up customer: it arrived, and is not kept"
        found.append(("test_webhook", "X-Shopify-Test", message))
    if topic in _CLAIMING_TOPICS:
        # One that names somebody is a claim, unless it is a test.
        if not is_test:
            found.append(("missing_id", "customer.id", f"{topic} names no customer and no order"))
    elif topic in _PRIVACY_TOPICS:
        message = f"{topic} is not carried out here; see to it yourself"
        found.append(("unsupported_topic", "X-Shopify-Topic", message))
    elif topic and not has_id:
        found.append(("missing_id", "customer.id", f"{topic} names no customer, cart, checkout or order"))
    return [Verdict("rejected", *fault) for fault in found]


def _links(topic: str, payload: dict[str, Any]) -> list[ParsedEvent]:
    """Returns an alias call for each id of the customer that the event itself does not carry."""
    user_id = _customer_id(topic, payload)
    if not _is_usable_id(user_id):
        return []
    kind = topic.partition("/")[0]
    return [
        _parsed(
            {
                "type": "alias",
                "messageId": _message_id(f"link:{kind}:{anonymous_id}"),
                "timestamp": text_of(payload.get("created_at")),
                "userId": user_id,
                "previousId": anonymous_id,
                "context": _consent(payload),
            },
            [],
        )
        for anonymous_id in _anonymous_ids(topic, payload)[1:]
        if _is_usable_id(anonymous_id)
    ]


def _is_usable_id(text: str) -> bool:
    """Returns whether a text can be an id. The verdict on the event itself says what is wrong with it."""
    return len(text) <= MAX_TEXT and bool(clean_id(text))


def _is_storable(text: str) -> bool:
    """Returns whether a text can be stored: it has neither half characters nor NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _customer_id(topic: str, payload: dict[str, Any]) -> str:
    is_customer = topic.startswith("customers/") and topic not in _PRIVACY_TOPICS
    customer = payload if is_customer else payload.get("customer")
    customer_id = customer.get("id") if isinstance(customer, dict) else payload.get("customer_id")
    return _id(customer_id, "customer.id")


def _id(value: Any, field: str) -> str:
    """Returns an id as text. Placeholders stay: validation leaves them out with a warning.

    Raises:
        RejectedError: an object or a list.
    """
    return value if isinstance(value, str) else read_id(value, field, []) or text_of(value)


def _anonymous_ids(topic: str, payload: dict[str, Any]) -> list[str]:
    """Returns the ids that the store has for a customer it does not know yet, the longest-lived first.

    They are those of the visitor of its pages, of the cart (or the checkout, if there is no cart) and of the order.
    """
    visitor_id = _id(_attribute(payload, ANONYMOUS_ID_ATTRIBUTES), "note_attributes")
    cart, checkout = payload.get("cart_token"), payload.get("checkout_token")
    if topic.startswith("carts/"):
        cart = payload.get("token") or payload.get("id")
    elif topic.startswith("checkouts/"):
        checkout = payload.get("token")
    order_id = _order_id(topic, payload)
    ids = (visitor_id, text_of(cart) or text_of(checkout), order_actor(order_id) if order_id else "")
    return [anonymous_id for anonymous_id in ids if anonymous_id]


def _order_id(topic: str, payload: dict[str, Any]) -> str:
    if topic == "orders/edited" and isinstance(payload.get("order_edit"), dict):
        return text_of(payload["order_edit"].get("order_id"))
    return text_of(payload.get("id" if topic.startswith("orders/") else "order_id"))


def _consent(payload: dict[str, Any]) -> dict[str, Any]:
    consent = text_of(_attribute(payload, CONSENT_ATTRIBUTES))
    return {"consent": {"analytics": consent}} if consent else {}


def _attribute(payload: dict[str, Any], names: tuple[str, ...]) -> Any:
    """Returns the value of the first cart attribute of these names that has one."""
    attributes = payload.get("note_attributes") or payload.get("attributes")
    if isinstance(attributes, list):
        attributes = {str(pair.get("name")): pair.get("value") for pair in objects_of(attributes)}
    if not isinstance(attributes, dict):
        return None
    return next((attributes[name] for name in names if attributes.get(name)), None)


def _last_refund(payload: dict[str, Any]) -> str:
    return max((text_of(refund.get("created_at")) for refund in objects_of(payload.get("refunds"))), default="")


def _event_id(request: Request) -> str:
    """Returns an id that all deliveries of one event share: retries, and those of other subscriptions to its topic.

    It is made of the body, which is signed. The headers with Shopify's own ids are not: whoever has one webhook could
    send it again under others.
    """
    return blake2b(request.body, digest_size=16).hexdigest()


def _message_id(text: str) -> str:
    if len(text) <= MAX_MESSAGE_ID:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _parsed(event: dict[str, Any], faults: list[Verdict]) -> ParsedEvent:
    """Returns an event, given as the members of Segment's JSON; empty members are left out."""
    warnings: list[Verdict] = []
    event = {name: value for name, value in event.items() if value}
    time = None
    try:
        time = times.parse(event.get("timestamp"), "timestamp")
    except RejectedError as error:
        faults = [*faults, error.verdict]
    if time is not None:
        event["timestamp"] = time.isoformat()
    elif "timestamp" in event:
        warnings.append(warning("unreadable_time", "timestamp", "timestamp is not an ISO 8601 time; it was left out"))
    raw = tolerant_json.dump(event)
    defect = None if faults else tolerant_json.defect(event)
    if defect is not None:
        mended = tolerant_json.mend(raw, defect, warnings)
        if mended is None:
            faults = [defect]
        else:
            event = tolerant_json.load(mended)
    rejection = size_rejection(raw, MAX_BODY_BYTES)
    if faults:
        others = [*faults[1:], *tolerant_json.defects_of(raw)]
        others += [] if rejection is None else [rejection]
        rejection = faults[0]._replace(others=tuple(others))
    members = {name: value for name, value in event.items() if name != "timestamp"}
    members |= {name: Raw(tolerant_json.dump(event[name])) for name in ("properties", "context") if name in event}
    extra = (
        f'"timestamp":{tolerant_json.dump(event["timestamp"]).decode()}'
        if "timestamp" in event and time is None
        else ""
    )
    if faults:
        # Validation adds what it finds in what is there; that nobody is named was said, where somebody should be.
        nobody = {"userId": _NOBODY, "previousId": _NOBODY}
        return ParsedEvent(raw, Event(**(nobody | members), timestamp=time), rejection, warnings)
    return ParsedEvent(
        raw,
        Event(**members, timestamp=time),
        rejection,
        warnings,
        extra,
        event.get("properties"),
        parse_context(members["context"], event["context"]) if "context" in event else None,
    )
