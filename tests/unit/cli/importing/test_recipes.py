"""Every recipe reads an export of its kind: who, what, when, which order, and no row is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from throughline.cli.importing.mapping import parse_mapping
from throughline.cli.importing.recipes import read_recipe, recipe_names
from throughline.cli.importing.rows import find_form, read_rows

EXPORTS = Path(__file__).parents[3] / "fixtures" / "imports"


def events_of(recipe: str) -> list[dict[str, Any]]:
    (file,) = EXPORTS.glob(f"{recipe}.*")
    mapping = parse_mapping(read_recipe(recipe), recipe)
    rows = list(read_rows(file, mapping, lambda _: None, find_form(file, mapping.file)))
    assert [str(row.error) for row in rows if row.error] == []
    return [json.loads(row.event) for row in rows]


def brief(event: dict[str, Any]) -> tuple[Any, ...]:
    names = ("event", "userId", "anonymousId", "timestamp")
    properties = event.get("properties", {})
    amount = properties.get("value", properties.get("total"))
    return (*(event.get(name, "") for name in names), properties.get("order_id", ""), amount)


def test_every_recipe_has_an_export() -> None:
    assert sorted(file.stem for file in EXPORTS.iterdir()) == recipe_names()


def test_shopify_orders_are_one_event_with_all_their_lines() -> None:
    events = events_of("shopify-orders")
    assert list(map(brief, events)) == [
        ("Order Completed", "ada@example.com", "", "2025-03-01T10:00:00+01:00", "5001", 118.0),
        ("Order Completed", "bob@example.com", "", "2025-03-02T12:00:00+01:00", "5002", 50.0),
        ("Order Refunded", "bob@example.com", "", "2025-03-02T12:00:00+01:00", "5002", 20.0),
        ("Order Completed", "cy@example.com", "", "2025-03-03T08:00:00+01:00", "5003", 9.9),
        ("Order Cancelled", "cy@example.com", "", "2025-03-04T08:00:00+01:00", "5003", 9.9),
        ("Order Cancelled", "cy@example.com", "", "2025-03-03T08:00:00+01:00", "5003", 9.9),
    ]
    assert events[0]["properties"]["products"] == [
        {"product_id": "LAMP-1", "name": "Lamp", "quantity": 2.0, "price": 40.0},
        {"product_id": "BULB-27", "name": "Bulb, E27", "quantity": 1.0, "price": 30.0},
    ]
    assert events[1]["properties"]["products"][0]["product_id"] == "Chair"


def test_woocommerce_orders_with_decimal_commas_and_umlauts() -> None:
    events = events_of("woocommerce-orders")
    assert list(map(brief, events)) == [
        ("Order Completed", "7", "ada@example.com", "2025-03-01T10:00:00+00:00", "711", 1118.0),
        ("Order Completed", "", "bob@example.com", "2025-03-02T11:00:00+00:00", "712", 50.0),
        ("Order Refunded", "", "bob@example.com", "2025-03-02T11:00:00+00:00", "712", None),
        ("Payment Error", "", "cy@example.com", "2025-03-03T11:00:00+00:00", "713", 12.0),
    ]
    assert [line["name"] for line in events[0]["properties"]["products"]] == ["Lampe", "Glühbirne"]


def test_ga4_bigquery_rows_have_their_parameters_and_microseconds() -> None:
    page, purchase = events_of("ga4-bigquery")
    assert brief(page) == ("page_view", "", "1234567890.1740000000", "2025-03-01T10:00:00+00:00", "", None)
    assert page["context"]["page"]["url"].endswith("utm_medium=email")
    assert page["properties"]["ga_session_id"] == 1740823199
    visitor = "1234567890.1740000000"
    assert brief(purchase) == ("purchase", "ada", visitor, "2025-03-01T10:01:00.000001+00:00", "T-1001", 118.0)
    assert purchase["properties"]["products"][0]["item_id"] == "LAMP-1"


@pytest.mark.parametrize("recipe", ["segment", "rudderstack"])
def test_archives_keep_the_time_of_their_collector(recipe: str) -> None:
    viewed, ordered = events_of(recipe)
    assert brief(viewed)[1:4] == ("", "a-1", "2025-03-01T10:00:01+00:00") or viewed["userId"] is None
    assert viewed["timestamp"] == "2025-03-01T10:00:01+00:00"
    assert ordered["timestamp"] == "2025-03-01T11:00:01+00:00"
    assert ordered["properties"] == {"order_id": "1001", "revenue": 100, "total": 118, "currency": "EUR"}
    assert {"receivedAt", "sentAt", "originalTimestamp"}.isdisjoint(ordered)
    assert [event["messageId"] for event in (viewed, ordered)] == ["m-1", "m-2"]


def test_posthog_events_are_anonymous_until_they_are_identified() -> None:
    page, identify, order, from_warehouse = events_of("posthog")
    assert (page["type"], page.get("userId"), page["anonymousId"]) == ("page", None, "anon-1")
    assert "$ip" not in page["properties"]
    assert page["context"] == {"page": {"url": "https://shop.example/"}}
    assert (identify["type"], identify["userId"], identify["anonymousId"]) == ("identify", "ada", "anon-1")
    assert brief(order) == ("Order Completed", "ada", "ada", "2025-03-01T10:02:00+00:00", "1001", None)
    assert order["messageId"] == "0190-3"
    # Parquet and tables have properties as a text of JSON.
    assert (from_warehouse.get("userId"), from_warehouse["anonymousId"]) == (None, "anon-2")
    assert from_warehouse["context"] == {"page": {"url": "https://shop.example/lamp"}}
    assert "$ip" not in from_warehouse["properties"]


def test_matomo_visits_are_an_event_for_each_action() -> None:
    page, event, order = events_of("matomo")
    assert (page["type"], page["context"]["page"]["title"]) == ("page", "Lamp")
    assert event["event"] == "Product Added"
    assert brief(order) == (
        "Order Completed", "ada", "b6a1c3d2e4f50617", "2025-03-01T10:01:00+00:00", "1001", 118.0,
    )  # fmt: skip
    lines = [{"product_id": "LAMP-1", "name": "Lamp", "price": 40, "quantity": 2}]
    assert order["properties"]["products"] == lines


def test_woocommerce_orders_of_one_row_with_a_guest(tmp_path: Path) -> None:
    """The header of an extension that writes a row for each order, and a guest as customer 0."""
    file = tmp_path / "orders.csv"
    file.write_text(
        "order_id,order_number,order_date,paid_date,status,order_total,order_currency,customer_id,customer_user,"
        "customer_email,billing_email,refund_items,line_item_1\n"
        "9002,9002,2025-03-02 09:00:00,2025-03-02 09:00:00,completed,55.00,INR,12,ada,ada@x.example,ada@x.example,,"
        "name:Eggs|product_id:10645|sku:|quantity:5|total:32.50\n"
        "9003,9003,2025-03-03 09:00:00,,refunded,55.00,INR,0,,guest@x.example,guest@x.example,amount:55.00,name:Rice\n"
    )
    mapping = parse_mapping(read_recipe("woocommerce-orders"), "woocommerce-orders")
    rows = list(read_rows(file, mapping, lambda _: None, find_form(file, mapping.file)))
    assert [brief(json.loads(row.event)) for row in rows] == [
        ("Order Completed", "12", "ada@x.example", "2025-03-02T09:00:00+00:00", "9002", 55.0),
        ("Order Completed", "", "guest@x.example", "2025-03-03T09:00:00+00:00", "9003", 55.0),
        ("Order Refunded", "", "guest@x.example", "2025-03-03T09:00:00+00:00", "9003", None),
    ]
