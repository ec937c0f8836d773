"""Snowplow: the trackers' protocol, with a payload of events (POST) or one event in a query (GET)."""

from services.ingest.dialects.base import DialectSpec, Route
from services.ingest.dialects.snowplow.consent import CONSENT
from services.ingest.dialects.snowplow.names import ITEM, PAGE_PING, STRUCTURED, TRANSACTION
from services.ingest.dialects.snowplow.parse import PAYLOAD_PATH, PAYLOAD_SCHEMA, parse_payload, parse_query

_SUMMARY = "Snowplow: a payload of events; the write key is the app id"
_EVENT = {"e": "pv", "url": "https://shop.example/", "aid": "tlw_...", "duid": "b1c0f4", "tv": "py-1.1.0"}
SPEC = DialectSpec(
    name="snowplow",
    routes=(
        Route("POST", PAYLOAD_PATH, parse_payload, _SUMMARY, {"schema": PAYLOAD_SCHEMA, "data": [_EVENT]}),
        Route("GET", "/i", parse_query, _SUMMARY, _EVENT, tuple(_EVENT), answer="image/gif"),
    ),
    consent=CONSENT,
    address_members=("ip",),
    address_parameters=("ip",),
    kept_names={
        **STRUCTURED,
        **PAGE_PING,
        **TRANSACTION,
        **ITEM,
        "refr": "referrer",
        "ua": "userAgent",
        "lang": "locale",
        "tz": "timezone",
    },
    base64_members=("ue_px", "cx"),
)
