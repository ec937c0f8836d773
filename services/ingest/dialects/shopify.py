"""Shopify's webhooks: POST /v1/shopify, one event of a shop for each request, signed with the source's secret. Pure.

The topic is the event's name. What is kept of a payload is listed in `shopify_fields.py`: nothing that says where
somebody lives or how to reach them. An item's `raw` is the event as it is kept, so that no refused one says more.
"""

from contextlib import suppress
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    DialectSpec,
    ParsedEvent,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
    Signature,
)
from services.ingest.dialects.shopify_fields import context_of, properties_of, text_of
from services.ingest.dialects.split import is_clean, size_rejection
from services.ingest.enrich.context import parse_context
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import (
    MAX_BODY_BYTES,
    MAX_MESSAGE_ID,
    RejectedError,
    Verdict,
    json_type,
    read_id,
    warning,
)
from throughline.kit.errors import ServiceError

SIGNATURE = b"x-shopify-hmac-sha256"
ANONYMOUS_ID = ("throughline_anonymous_id", "anonymousId")
"""Cart attributes in which a shop's pages may leave the id they know their visitor by."""
CONSENT = ("throughline_consent",)
"""The same, for whether the visitor consents to analytics: granted or denied."""

_ANY = msgspec.json.Decoder()
_TRIGGERED = "X-Shopify-Triggered-At"
_NAMES_HERE = {
    "messageId": "X-Shopify-Event-Id",
    "timestamp": _TRIGGERED,
    "userId": "customer.id",
    "anonymousId": "note_attributes",
    CONSENT_FIELD: "note_attributes.throughline_consent",
}
_LINKING = frozenset({"orders/create", "orders/paid", "checkouts/create", "checkouts/update"})
"""Topics that tell once and for all whose a cart and an order are: later ones about the order need not name a customer.
"""
_NO_EVENTS = frozenset({"test_webhook", "unsupported_topic"})
"""Codes of what must never become an event, however it is sent again."""
_PRIVACY = frozenset({"customers/data_request", "customers/redact", "shop/redact"})


def parse(request: Request) -> ParsedRequest:
    """The event of one webhook, and the links it tells of. The write key is in the query as `writeKey`.

    Raises:
        ServiceError: 400, nobody can read the body.
    """
    payload = _payload(request.body)
    topic = request.header(b"x-shopify-topic").strip().lower()
    events = [_event(request, topic, payload)]
    # An event that is too large is linked all the same.
    rejection = None if events[0].event is not None else events[0].rejection
    if topic in _LINKING and rejection is None:
        events += _links(topic, payload)
    keys = parse_qs(request.query, errors="replace").get("writeKey", [""])
    never = rejection is not None and rejection.code in _NO_EVENTS
    return ParsedRequest(
        keys[0],
        events,
        names=_NAMES_HERE,
        replay_request=None if never else _replay_request,
        signature=Signature(request.header(SIGNATURE), request.body),
    )


def order_actor(order: str) -> str:
    """Whom an order is of as long as no customer is known: itself."""
    return f"shopify-order-{order}"


def _replay_request() -> ReplayRequest:
    # A webhook can not be signed again; what is kept of it is an event as Segment's libraries send it.
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
    name, own_id, said = topic, _own_id(request), request.header(_TRIGGERED.lower().encode())
    time = said or text_of(payload.get("updated_at")) or text_of(payload.get("created_at"))
    order = _order(topic, payload)
    refunded = topic == "orders/updated" and payload.get("financial_status") == "refunded"
    if refunded:
        # Of all updates of the order that say so, one counts: its last refund left nothing to be paid.
        name, own_id, time = "Order Refunded", f"refunded:{order}", _last_refund(payload) or time
    properties = properties_of(topic, payload, request.header(b"x-shopify-shop-domain"), order)
    if refunded:
        properties.pop("value", None)
    event: dict[str, Any] = {
        "type": "track",
        "event": name,
        "messageId": _short(f"{topic}:{own_id}"),
        "timestamp": time,
        "properties": properties,
        "context": context_of(payload, request) | _consent(payload),
    }
    try:
        event["userId"] = _customer(topic, payload)
        event["anonymousId"] = next(iter(_ids(topic, payload)), "")
        rejection = _rejection(request, topic, bool(event["userId"] or event["anonymousId"]))
    except RejectedError as error:
        rejection = error.verdict
    return _parsed(event, rejection)


def _rejection(request: Request, topic: str, names_somebody: bool) -> Verdict | None:
    """Why what Shopify sends is nothing of a journey's, or None."""
    if not topic:
        return Verdict("rejected", "missing_field", "X-Shopify-Topic", "a webhook has to name its topic in this header")
    if request.header(b"x-shopify-test").strip().lower() == "true":
        return Verdict(
            "rejected", "test_webhook", "X-Shopify-Test", "a test with a made-up customer: it arrived, and is not kept"
        )
    if topic in _PRIVACY:
        return Verdict(
            "rejected", "unsupported_topic", "X-Shopify-Topic", f"{topic} is not carried out here; see to it yourself"
        )
    if not names_somebody:
        return Verdict("rejected", "missing_id", "customer.id", f"{topic} names no customer, cart, checkout or order")
    return None


def _links(topic: str, payload: dict[str, Any]) -> list[ParsedEvent]:
    """The ids of the customer's that the event itself does not carry: each becomes the customer's by an alias call."""
    user = _customer(topic, payload)
    if not _can_be_linked(user):
        return []
    kind = topic.partition("/")[0]
    return [
        _parsed(
            {
                "type": "alias",
                "messageId": _short(f"link:{kind}:{other}"),
                "timestamp": text_of(payload.get("created_at")),
                "userId": user,
                "previousId": other,
                "context": _consent(payload),
            },
            None,
        )
        for other in _ids(topic, payload)[1:]
        if _can_be_linked(other)
    ]


def _can_be_linked(one: str) -> bool:
    """Whether it is an id at all: what is wrong with it is said of the event itself."""
    try:
        return bool(read_id(one, "", []))
    except RejectedError:
        return False


def _customer(topic: str, payload: dict[str, Any]) -> str:
    if topic.startswith("customers/"):
        customer = payload.get("customer") if topic in _PRIVACY else payload
    else:
        customer = payload.get("customer")
    found = customer.get("id") if isinstance(customer, dict) else payload.get("customer_id")
    return _id(found, "customer.id")


def _id(value: Any, field: str) -> str:
    """An id as text; placeholders too, which are left out with a warning where every event is judged.

    Raises:
        RejectedError: an object or a list.
    """
    return value if isinstance(value, str) else read_id(value, field, []) or text_of(value)


def _ids(topic: str, payload: dict[str, Any]) -> list[str]:
    """Under which the shop knows the customer beside the customer's own, the best first: the visitor of its pages, the
    cart (or the checkout, if it has none), the order.
    """
    visitor = _id(_attribute(payload, ANONYMOUS_ID), "note_attributes")
    cart, checkout = payload.get("cart_token"), payload.get("checkout_token")
    if topic.startswith("carts/"):
        cart = payload.get("token") or payload.get("id")
    elif topic.startswith("checkouts/"):
        checkout = payload.get("token")
    order = _order(topic, payload)
    found = (visitor, text_of(cart) or text_of(checkout), order_actor(order) if order else "")
    return [one for one in found if one]


def _order(topic: str, payload: dict[str, Any]) -> str:
    if topic == "orders/edited" and isinstance(payload.get("order_edit"), dict):
        return text_of(payload["order_edit"].get("order_id"))
    return text_of(payload.get("id" if topic.startswith("orders/") else "order_id"))


def _consent(payload: dict[str, Any]) -> dict[str, Any]:
    said = text_of(_attribute(payload, CONSENT))
    return {"consent": {"analytics": said}} if said else {}


def _attribute(payload: dict[str, Any], names: tuple[str, ...]) -> Any:
    attributes = payload.get("note_attributes") or payload.get("attributes")
    if isinstance(attributes, list):
        attributes = {str(one.get("name")): one.get("value") for one in attributes if isinstance(one, dict)}
    if not isinstance(attributes, dict):
        return None
    return next((attributes[name] for name in names if attributes.get(name)), None)


def _last_refund(payload: dict[str, Any]) -> str:
    refunds = payload.get("refunds")
    refunds = refunds if isinstance(refunds, list) else []
    return max((text_of(one.get("created_at")) for one in refunds if isinstance(one, dict)), default="")


def _own_id(request: Request) -> str:
    """What all deliveries of one event share: tries again, and those of another subscription to the topic."""
    for name in (b"x-shopify-event-id", b"x-shopify-webhook-id"):
        found = request.header(name)
        if found:
            return found
    return blake2b(request.body, digest_size=16).hexdigest()


def _short(text: str) -> str:
    if len(text) <= MAX_MESSAGE_ID:
        return text
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _parsed(event: dict[str, Any], rejection: Verdict | None) -> ParsedEvent:
    warnings: list[Verdict] = []
    event = {name: value for name, value in event.items() if value}
    time = None
    try:
        time = times.parse(event.get("timestamp"), "timestamp")
    except RejectedError as error:
        rejection = rejection or error.verdict
    if time is not None:
        event["timestamp"] = time.isoformat()
    elif "timestamp" in event:
        warnings.append(warning("unreadable_time", "timestamp", "timestamp is not an ISO 8601 time; it was left out"))
    raw = tolerant_json.dump(event)
    rejection = rejection or tolerant_json.defect(event)
    if rejection is not None:
        return ParsedEvent(raw, None, rejection, warnings)
    known = {name: value for name, value in event.items() if name != "timestamp"}
    known |= {name: Raw(tolerant_json.dump(event[name])) for name in ("properties", "context") if name in event}
    fields = Event(**known, timestamp=time)
    extra = f'"timestamp":{tolerant_json.dump(event["timestamp"]).decode()}' if warnings else ""
    context = parse_context(known["context"], event["context"]) if "context" in event else None
    rejection = size_rejection(raw, MAX_BODY_BYTES)
    return ParsedEvent(raw, fields, rejection, warnings, extra, event.get("properties"), context)


SPEC = DialectSpec(
    name="shopify",
    routes=(
        Route(
            "POST",
            "/v1/shopify",
            parse,
            "Shopify: one webhook, signed with the source's secret; the write key in the query as writeKey",
            {
                "id": 820982911946154508,
                "customer": {"id": 115310627314723954},
                "total_price": "59.90",
                "currency": "EUR",
            },
            parameters=("writeKey",),
        ),
    ),
)
