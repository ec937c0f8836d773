"""A verdict names every fault that a dialect's own reader finds, not the first."""

from typing import Any

import pytest

from tests.support.dialect_requests import parsed, post, validated

FAR = 10**18


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (
            "/v1/pos",
            {"sales": [{"total": "much", "kind": "gift", "sold_at": "soon"}]},
            {"receipt", "total", "kind", "customer", "sold_at"},
        ),
        ("/v1/pos", {"sales": [{"receipt": "R", "customer": "a", "total": "x", "kind": "gift"}]}, {"total", "kind"}),
        (
            "/mp/collect",
            {"client_id": "c.1", "events": [{"params": 5, "timestamp_micros": FAR * 1000}]},
            {"name", "params", "timestamp_micros"},
        ),
        ("/v1/cloudevents", {"data": {}}, {"specversion", "type", "source", "id"}),
        (
            "/v1/cloudevents",
            {"specversion": "9", "type": "x", "source": 5, "id": "1", "subject": "a", "data_base64": "%"},
            {"specversion", "source", "data_base64"},
        ),
        (
            "/batch",
            {"api_key": "k", "batch": [{"event": 5, "uuid": [1], "timestamp": 1e18, "distinct_id": {}}]},
            {"event", "uuid", "timestamp", "distinct_id"},
        ),
        (
            "/com.snowplowanalytics.snowplow/tp2",
            {"data": [{"e": "zz", "duid": "d", "dtm": str(FAR), "cx": "!"}]},
            {"e", "dtm", "cx"},
        ),
    ],
)
def test_all_faults_are_named(path: str, body: Any, fields: set[str]) -> None:
    (verdict,) = validated(parsed(post(body, path=path))).verdicts
    assert verdict is not None
    assert verdict.status == "rejected"
    faults = [verdict, *verdict.others]
    assert {fault.field for fault in faults} == fields
    assert len({(fault.code, fault.field) for fault in faults}) == len(faults)


@pytest.mark.parametrize(
    ("headers", "body", "faults"),
    [
        (
            {"topic": "orders/create", "test": "true"},
            {"id": 5, "customer": {"id": "c" * 600}, "created_at": "0001-01-01T00:00:00+14:00"},
            {
                ("test_webhook", "X-Shopify-Test"),
                ("too_long", "customer.id"),
                ("time_out_of_range", "X-Shopify-Triggered-At"),
            },
        ),
        (
            {"topic": ""},
            {"id": 5, "customer": {"id": [1]}, "note": "a"},
            {("missing_field", "X-Shopify-Topic"), ("wrong_type", "customer.id")},
        ),
        (
            {"topic": "orders/" + "x" * 600, "test": "true"},
            {"id": 5, "customer": {"id": "u-1"}, "updated_at": "2026-11-23T20:00:00Z"},
            {("test_webhook", "X-Shopify-Test"), ("too_long", "X-Shopify-Topic")},
        ),
        (
            {"topic": "customers/merge"},
            {"admin_graphql_api_customer_kept_id": "gid://shopify/Customer/" + "7" * 600, "status": "queued"},
            {("missing_id", "customer.id"), ("unfinished_merge", "status"), ("too_long", "customer.id")},
        ),
    ],
)
def test_a_webhook_names_what_validation_finds_too(
    headers: dict[str, str], body: dict[str, Any], faults: set[tuple[str, str]]
) -> None:
    named = [(f"x-shopify-{name}".encode(), value.encode()) for name, value in headers.items()]
    (verdict,) = validated(parsed(post(body, path="/v1/shopify", headers=named))).verdicts
    assert verdict is not None
    assert verdict.status == "rejected"
    every = [(fault.code, fault.field) for fault in (verdict, *verdict.others) if fault.status == "rejected"]
    assert len(set(every)) == len(every)
    assert faults <= set(every), every
