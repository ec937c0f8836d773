"""Shopify: webhooks of a store, signed with the source's secret."""

from services.ingest.dialects.base import DialectSpec, Route
from services.ingest.dialects.shopify.parse import parse_webhook

SPEC = DialectSpec(
    name="shopify",
    routes=(
        Route(
            "POST",
            "/v1/shopify",
            parse_webhook,
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
