"""A till's sales: POST /v1/pos, one object or row for each receipt, as JSON or CSV. Pure.

`pos_rows.py` takes the rows out of a body. A row's columns are fixed (`COLUMNS`); all others become properties.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import (
    CONSENT_FIELD,
    ConsentSources,
    DialectSpec,
    ParsedRequest,
    ReplayRequest,
    Request,
    Route,
)
from services.ingest.dialects.consent import answers
from services.ingest.dialects.pos_rows import column, rows_of
from services.ingest.dialects.split import EventParts, parse_event
from services.ingest.enrich.context import parse_context
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, answer_of, json_type, read_id, reject
from throughline.kit.errors import ServiceError

COLUMNS = {
    "receipt": ("receipt", "receipt_id", "order_id", "transaction_id"),
    "sold_at": ("sold_at", "timestamp", "time"),
    "customer": ("customer", "customer_id", "user_id", "loyalty_card"),
    "kind": ("kind",),
    "total": ("total", "amount", "value"),
    "original_receipt": ("original_receipt", "refund_of"),
    "message_id": ("message_id",),
    "analytics_consent": ("analytics_consent",),
}
"""Columns that mean something -> what they may be called, in any case."""
EVENTS = {
    "sale": "pos_sale",
    "refund": "Order Refunded",
    "return": "Order Refunded",
    "void": "Order Cancelled",
    "cancelled": "Order Cancelled",
}
"""Kind of a row -> the event's name."""
CHANNEL = "store"
_OPTIONS = {"anonymous": "receipt", "decimal": "comma"}
"""What the query may say beside a time zone and a currency -> the one value it may have."""

_ANY = msgspec.json.Decoder()
_NAMES = {name: own for own, names in COLUMNS.items() for name in names}
_NAMES_HERE = {
    "userId": "customer",
    "messageId": "receipt",
    "timestamp": "sold_at",
    "properties.value": "total",
    "properties.order_id": "receipt",
    "properties.currency": "currency",
    CONSENT_FIELD: "analytics_consent",
}


def parse(request: Request) -> ParsedRequest:
    """The sales of one request; the write key may be in the query as `writeKey`.

    Raises:
        ServiceError: 400, nobody can read the body, it has too many rows, or what the query says makes no sense.
    """
    query = parse_qs(request.query, errors="replace")
    reader = _Reader(query)
    rows = rows_of(request.body, frozenset(COLUMNS["receipt"]))
    reader.decimal_comma = reader.decimal_comma or rows.decimal_comma
    events = [parse_event(raw, reader, defect) for raw, defect in rows.found]
    key = query.get("writeKey", [""])[0]
    return ParsedRequest(
        key, events, names=_NAMES_HERE, reply=_reply if events else None, replay_request=reader.replay_request
    )


class _Reader:
    """Reads the rows of one request: what its query says holds for all."""

    def __init__(self, query: dict[str, list[str]]) -> None:
        said = {name: query.get(name, [""])[0] for name in ("time_zone", "currency", *_OPTIONS)}
        for name, option in _OPTIONS.items():
            if said[name] not in ("", option):
                why = f"{name}={said[name][:100]} is not {option}, the one it may be"
                raise ServiceError(400, "unknown_option", why, field=name)
        self._said = said
        self._zone = _zone(said["time_zone"] or "UTC")
        self._currency = said["currency"]
        self._anonymous = bool(said["anonymous"])
        self.decimal_comma = bool(said["decimal"])

    def replay_request(self) -> ReplayRequest:
        """Returns the request that sends one row again, which is kept as an object."""
        said = self._said | {"decimal": _OPTIONS["decimal"] if self.decimal_comma else ""}
        query = urlencode({name: value for name, value in said.items() if value})
        return ReplayRequest(f"/v1/pos?{query}" if query else "/v1/pos", member="")

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> EventParts:
        """One sale.

        Raises:
            RejectedError: it can not be understood.
            msgspec.DecodeError: it holds a number that is out of range.
        """
        row = _ANY.decode(raw)
        if not isinstance(row, dict):
            reject("wrong_type", "", f"a sale has to be an object, got {json_type(row)}")
        own: dict[str, Any] = {}
        properties: dict[str, Any] = {}
        for name, value in row.items():
            if value is None or value == "":
                continue
            known = _NAMES.get(column(name))
            if known is None or known in own:
                properties[column(name) if column(name) in ("currency", "store", "register") else name] = value
            else:
                own[known] = value
        receipt = read_id(own.get("receipt"), "receipt", [])
        if not receipt:
            reject("missing_field", "receipt", "a row has to name its receipt, by which it counts once")
        total = _total(own.get("total"), self.decimal_comma)
        kind = _kind(own.get("kind"), total)
        if total is not None:
            properties["value"] = total if kind == "sale" else abs(total)
        properties["order_id"] = read_id(own.get("original_receipt"), "original_receipt", warnings) or receipt
        if self._currency:
            properties.setdefault("currency", self._currency)
        properties.setdefault("acquisition_channel", CHANNEL)
        customer = read_id(own.get("customer"), "customer", warnings)
        if not customer and not self._anonymous:
            _nobody(warnings)
        said = own.get("analytics_consent")
        context = {"consent": {"analytics": said}} if said is not None else {}
        event = Event(
            type="track",
            event=EVENTS[kind],
            messageId=_message_id(read_id(own.get("message_id"), "message_id", warnings), receipt, kind),
            userId=customer,
            anonymousId="" if customer else f"pos-{properties['order_id']}",
            timestamp=self._time(own.get("sold_at")),
            properties=Raw(tolerant_json.dump(properties)),
            context=Raw(tolerant_json.dump(context)) if context else Raw(),
        )
        return event, "", properties, parse_context(event.context, context), None

    def _time(self, value: Any) -> datetime | None:
        if value is None:
            return None
        time = times.parse(value, "sold_at")
        if time is None:
            reject(
                "unreadable_time",
                "sold_at",
                f"sold_at {str(value)[:100]!r} is not like 2026-01-31T09:30:00; `throughline import` reads other forms",
            )
        return time if time.tzinfo else time.replace(tzinfo=self._zone)


def _nobody(warnings: list[Verdict]) -> None:
    """Say why a row has no customer.

    Raises:
        RejectedError: always.
    """
    for cause in warnings:
        if cause.code == "illegal_id" and cause.field == "customer":
            reject(cause.code, cause.field, cause.message)
    reject("missing_id", "customer", "who bought it is not said; with ?anonymous=receipt it is a customer of its own")


def _kind(value: Any, total: float | None) -> str:
    if value is None:
        return "sale" if total is None or total >= 0 else "refund"
    kind = value.strip().lower() if isinstance(value, str) else ""
    if kind not in EVENTS:
        reject("unknown_kind", "kind", f"kind {str(value)[:100]!r} is none of: {', '.join(EVENTS)}")
    return kind


def _total(value: Any, decimal_comma: bool) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float) or value is True or value is False:
        reject("wrong_type", "total", f"total has to be a number, got {json_type(value)}")
    text = value
    if decimal_comma and isinstance(text, str) and "," in text:
        text = text.replace(".", "").replace(",", ".")
    try:
        amount = float(text)
    except ValueError:
        reject("wrong_type", "total", f"total {str(value)[:100]!r} is not a number like 12.50")
    except OverflowError:
        amount = math.inf
    if not math.isfinite(amount):
        reject("number_out_of_range", "total", "total is not a number that can be kept")
    return amount


def _message_id(own: str, receipt: str, kind: str) -> str:
    found = own or f"pos:{kind}:{receipt}"
    return found if len(found) <= MAX_MESSAGE_ID else blake2b(found.encode(), digest_size=16).hexdigest()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ServiceError(
            400, "unknown_time_zone", f"{name[:100]!r} is not a time zone like UTC or Europe/Vienna", field="time_zone"
        ) from None


def _reply(verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """The usual answer, each verdict with its row's number, from 1."""
    said = [{"row": row, **answer_of(verdict)} for row, verdict in enumerate(verdicts, start=1)]
    rejected, dropped = (sum(one["verdict"] == what for one in said) for what in ("rejected", "dropped"))
    accepted = len(said) - rejected - dropped
    answer = {"success": True, "accepted": accepted, "rejected": rejected, "dropped": dropped, "verdicts": said}
    return b"application/json", msgspec.json.encode(answer)


SPEC = DialectSpec(
    name="pos",
    routes=(
        Route(
            "POST",
            "/v1/pos",
            parse,
            "A till's sales: CSV with column names, JSON (an object, a list, sales) or JSON lines; a verdict for each "
            "row",
            {"sales": [{"receipt": "R-1", "sold_at": "2026-01-31T09:30:00", "customer": "ada", "total": 42.5}]},
            parameters=("writeKey", "time_zone", "currency", "anonymous", "decimal"),
            other_examples={
                "text/csv": "receipt,sold_at,customer,kind,total\nR-1,2026-01-31T09:30:00,ada,sale,42.50\n"
            },
        ),
    ),
    consent=ConsentSources(members={"analytics_consent": answers}),
)
