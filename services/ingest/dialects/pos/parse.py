"""Parses the sales of tills: one object or CSV row for each receipt. Pure.

rows.py takes the rows out of a body. `COLUMNS` have a meaning; all other columns become properties.
"""

import math
from collections.abc import Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlencode
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import CONSENT_FIELD, ParsedEvent, ParsedRequest, ReplayRequest, Request
from services.ingest.dialects.pos.rows import column_name, rows_of
from services.ingest.dialects.split import parse_event
from services.ingest.enrich.context import parse_context
from services.ingest.event import times, tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.ids import read_id
from services.ingest.event.verdict import MAX_MESSAGE_ID, Verdict, answer_of, faults_among, json_type, reject
from throughline.kit.errors import ServiceError
from throughline.kit.text_form import is_rounded

PATH = "/v1/pos"
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
"""Column -> the names that tills may give it, in lower case."""
EVENT_NAMES = {
    "sale": "pos_sale",
    "refund": "Order Refunded",
    "return": "Order Refunded",
    "void": "Order Cancelled",
    "cancelled": "Order Cancelled",
}
"""Kind of a row -> name of the event."""
CHANNEL = "store"

_FLAGS = {"anonymous": "receipt", "decimal": "comma"}
"""Query parameter -> the only value it may have."""
_PROPERTY_COLUMNS = ("currency", "store", "register")
"""Columns that become properties in lower case, whatever their case."""
_COLUMNS_BY_NAME = {name: column for column, names in COLUMNS.items() for name in names}
_FIELD_NAMES = {
    "userId": "customer",
    "messageId": "receipt",
    "timestamp": "sold_at",
    "properties.value": "total",
    "properties.order_id": "receipt",
    "properties.currency": "currency",
    CONSENT_FIELD: "analytics_consent",
}
_ANY = msgspec.json.Decoder()


def parse_sales(request: Request) -> ParsedRequest:
    """Parses the sales of one request. The query may have the write key, as `writeKey`.

    Raises:
        ServiceError: 400, the body cannot be read or has too many rows, or the query has an unknown option.
    """
    query = parse_qs(request.query, errors="replace")
    reader = _Reader(query)
    rows, has_decimal_comma = rows_of(request.body, frozenset(COLUMNS["receipt"]))
    reader.has_decimal_comma = reader.has_decimal_comma or has_decimal_comma
    events = [parse_event(raw, reader, defect, find_faults=reader.find_faults) for raw, defect in rows]
    key = query.get("writeKey", [""])[0]
    return ParsedRequest(
        key,
        events,
        names=_FIELD_NAMES,
        reply=_reply if events else None,
        replay_request=reader.replay_request,
        is_history=True,
        from_server=True,
    )


class _Reader:
    """Reads the rows of one request, with the options of its query."""

    def __init__(self, query: dict[str, list[str]]) -> None:
        options = {name: query.get(name, [""])[0] for name in ("time_zone", "currency", *_FLAGS)}
        for name, value in _FLAGS.items():
            if options[name] not in ("", value):
                message = f"{name}={options[name][:100]} is not {value}, the one it may be"
                raise ServiceError(400, "unknown_option", message, field=name)
        self._options = options
        self._time_zone = _time_zone(options["time_zone"] or "UTC")
        self._currency = options["currency"]
        self._is_anonymous_allowed = bool(options["anonymous"])
        self.has_decimal_comma = bool(options["decimal"])

    def replay_request(self) -> ReplayRequest:
        """Returns the request that sends one row again. A row of a CSV is kept as an object, and sent as that."""
        options = self._options | {"decimal": _FLAGS["decimal"] if self.has_decimal_comma else ""}
        query = urlencode({name: value for name, value in options.items() if value})
        return ReplayRequest(f"{PATH}?{query}" if query else PATH, member="")

    def __call__(self, raw: bytes, warnings: list[Verdict]) -> ParsedEvent:
        """Returns one sale.

        Raises:
            RejectedError: the row cannot be understood.
            msgspec.DecodeError: a number is out of range.
        """
        row = _ANY.decode(raw)
        if not isinstance(row, dict):
            reject("wrong_type", "", f"a sale has to be an object, got {json_type(row)}")
        columns, properties = _columns_and_properties(row)
        receipt = _receipt(columns)
        total = _total(columns.get("total"), self.has_decimal_comma)
        kind = _kind(columns.get("kind"), total)
        if total is not None:
            properties["value"] = total if kind == "sale" else abs(total)
        properties["order_id"] = read_id(columns.get("original_receipt"), "original_receipt", warnings) or receipt
        if self._currency:
            properties.setdefault("currency", self._currency)
        properties.setdefault("acquisition_channel", CHANNEL)
        customer = read_id(columns.get("customer"), "customer", warnings)
        self._require_customer(customer, warnings)
        consent = columns.get("analytics_consent")
        context = {"consent": {"analytics": consent}} if consent is not None else {}
        event = Event(
            type="track",
            event=EVENT_NAMES[kind],
            messageId=_message_id(read_id(columns.get("message_id"), "message_id", warnings), receipt, kind),
            userId=customer,
            anonymousId="" if customer else f"pos-{properties['order_id']}",
            timestamp=self._sold_at(columns.get("sold_at")),
            properties=Raw(tolerant_json.dump(properties)),
            context=Raw(tolerant_json.dump(context)) if context else Raw(),
        )
        parsed_context = parse_context(event.context, context)
        return ParsedEvent(raw, event, None, warnings, properties=properties, context=parsed_context)

    def find_faults(self, raw: bytes) -> list[Verdict]:
        """Returns all that is wrong with the columns of a row."""
        row = _ANY.decode(raw)
        if not isinstance(row, dict):
            return []
        columns, _ = _columns_and_properties(row)
        warnings: list[Verdict] = []
        return faults_among(
            (
                lambda: _receipt(columns),
                lambda: _total(columns.get("total"), self.has_decimal_comma),
                lambda: _kind(columns.get("kind"), None),
                lambda: self._require_customer(read_id(columns.get("customer"), "customer", warnings), warnings),
                lambda: self._sold_at(columns.get("sold_at")),
            )
        )

    def _require_customer(self, customer: str, warnings: list[Verdict]) -> None:
        if not customer and not self._is_anonymous_allowed:
            _reject_without_customer(warnings)

    def _sold_at(self, value: Any) -> datetime | None:
        if value is None:
            return None
        time = times.parse(value, "sold_at")
        if time is None:
            reject(
                "unreadable_time",
                "sold_at",
                f"sold_at {str(value)[:100]!r} is not like 2026-01-31T09:30:00; `throughline import` reads other forms",
            )
        return time if time.tzinfo else time.replace(tzinfo=self._time_zone)


def _columns_and_properties(row: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Returns the cells of `COLUMNS` and those of all other columns; empty cells are left out.

    If two names of one column have a cell, the second is a property.
    """
    columns: dict[str, Any] = {}
    properties: dict[str, Any] = {}
    for name, value in row.items():
        if value is None or value == "":
            continue
        lowered = column_name(name)
        column = _COLUMNS_BY_NAME.get(lowered)
        if column is None or column in columns:
            properties[lowered if lowered in _PROPERTY_COLUMNS else name] = value
        else:
            columns[column] = value
    return columns, properties


def _receipt(columns: dict[str, Any]) -> str:
    receipt = read_id(columns.get("receipt"), "receipt", [])
    if not receipt:
        reject("missing_field", "receipt", "a row has to name its receipt, by which it counts once")
    if is_rounded(receipt):
        reject("rounded_id", "receipt", f"receipt {receipt!r} was rounded by a spreadsheet; send the till's own export")
    return receipt


def _reject_without_customer(warnings: list[Verdict]) -> NoReturn:
    for cause in warnings:
        if cause.code == "illegal_id" and cause.field == "customer":
            reject(cause.code, cause.field, cause.message)
    reject("missing_id", "customer", "who bought it is not said; with ?anonymous=receipt it is a customer of its own")


def _kind(value: Any, total: float | None) -> str:
    if value is None:
        return "sale" if total is None or total >= 0 else "refund"
    kind = value.strip().lower() if isinstance(value, str) else ""
    if kind not in EVENT_NAMES:
        reject("unknown_kind", "kind", f"kind {str(value)[:100]!r} is none of: {', '.join(EVENT_NAMES)}")
    return kind


def _total(value: Any, has_decimal_comma: bool) -> float | None:
    if value is None:
        return None
    if not isinstance(value, str | int | float) or value is True or value is False:
        reject("wrong_type", "total", f"total has to be a number, got {json_type(value)}")
    number = value
    if has_decimal_comma and isinstance(number, str) and "," in number:
        number = number.replace(".", "").replace(",", ".")
    try:
        total = float(number)
    except ValueError:
        reject("wrong_type", "total", f"total {str(value)[:100]!r} is not a number like 12.50")
    except OverflowError:
        total = math.inf
    if not math.isfinite(total):
        reject("number_out_of_range", "total", "total is not a number that can be kept")
    return total


def _message_id(message_id: str, receipt: str, kind: str) -> str:
    """Returns the row's message id, or one that is the same whenever the receipt is sent again."""
    message_id = message_id or f"pos:{kind}:{receipt}"
    if len(message_id) <= MAX_MESSAGE_ID:
        return message_id
    return blake2b(message_id.encode(), digest_size=16).hexdigest()


def _time_zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ServiceError(
            400, "unknown_time_zone", f"{name[:100]!r} is not a time zone like UTC or Europe/Vienna", field="time_zone"
        ) from None


def _reply(verdicts: Sequence[Verdict | None]) -> tuple[bytes, bytes]:
    """Returns the usual answer, with the row's number, from 1, in each verdict."""
    answers = [{"row": row, **answer_of(verdict)} for row, verdict in enumerate(verdicts, start=1)]
    rejected, dropped = (sum(answer["verdict"] == status for answer in answers) for status in ("rejected", "dropped"))
    body = {
        "success": True,
        "accepted": len(answers) - rejected - dropped,
        "rejected": rejected,
        "dropped": dropped,
        "verdicts": answers,
    }
    return b"application/json", msgspec.json.encode(body)
