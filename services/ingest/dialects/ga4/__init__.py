"""GA4: Google's Measurement Protocol, and its server for validation."""

from services.ingest.dialects.base import DialectSpec, Route
from services.ingest.dialects.ga4.parse import PATH, parse_collect, parse_debug

_SUMMARY = "GA4 Measurement Protocol: the write key is the api_secret"
_BODY = {
    "client_id": "b1c0f4",
    "events": [{"name": "purchase", "params": {"transaction_id": "A-1001", "value": 59.9}}],
}
_PARAMETERS = ("api_secret", "measurement_id")

SPEC = DialectSpec(
    name="ga4",
    routes=(
        Route("POST", PATH, parse_collect, _SUMMARY, _BODY, _PARAMETERS),
        Route("POST", "/debug/mp/collect", parse_debug, _SUMMARY, _BODY, _PARAMETERS, answer="object"),
    ),
    key_names=("api_secret",),
    address_members=("ip_override", "_uip"),
    address_parameters=("_uip",),
    kept_names={
        "params": "properties",
        "user_properties": "traits",
        "page_location": "url",
        "page_referrer": "referrer",
        "page_title": "title",
        "transaction_id": "order_id",
        "item_id": "product_id",
        "ip_override": "ip",
        "user_location": "location",
    },
)
