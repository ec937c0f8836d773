"""Every recipe reads an export of its kind: who, what, when, which order, and no row is lost."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from throughline.cli.importing.mapping import parse_mapping
from throughline.cli.importing.recipes import read_recipe, recipe_names
from throughline.cli.importing.rows import ImportFileError, Row, find_form, read_rows

EXPORTS = Path(__file__).parents[3] / "fixtures" / "imports"


def events_of(recipe: str, file: Path | None = None) -> list[dict[str, Any]]:
    rows = rows_of(recipe, file or next(EXPORTS.glob(f"{recipe}.*")))
    assert [str(row.error) for row in rows if row.error] == []
    return [json.loads(row.event) for row in rows]


def rows_of(recipe: str, file: Path) -> list[Row]:
    mapping = parse_mapping(read_recipe(recipe), recipe)
    return list(read_rows(file, mapping, lambda _: None, find_form(file, mapping.file)))


def written(folder: Path, name: str, *rows: tuple[str, ...]) -> Path:
    """An export with these rows, the first of which is its header."""
    with (folder / name).open("w", newline="") as out:
        csv.writer(out).writerows(rows)
    return folder / name


def row_of(header: str, **cells: str) -> tuple[str, ...]:
    """A row under a header, empty where `cells` says nothing."""
    columns = header.split(",")
    assert set(cells) <= set(columns)
    return tuple(cells.get(column, "") for column in columns)


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
        ("Order Completed", "ada@example.com", "shopify-order-5001", "2025-03-01T10:00:00+01:00", "5001", 118.0),
        ("Order Completed", "bob@example.com", "shopify-order-5002", "2025-03-02T12:00:00+01:00", "5002", 50.0),
        ("Order Refunded", "bob@example.com", "shopify-order-5002", "2025-03-02T12:00:00+01:00", "5002", 20.0),
        ("Order Completed", "cy@example.com", "shopify-order-5003", "2025-03-03T08:00:00+01:00", "5003", 9.9),
        ("Order Cancelled", "cy@example.com", "shopify-order-5003", "2025-03-04T08:00:00+01:00", "5003", 9.9),
        ("Order Cancelled", "cy@example.com", "shopify-order-5003", "2025-03-03T08:00:00+01:00", "5003", 9.9),
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


# The headers are those that the extensions write by default, shortened by addresses, notes and taxes.
PER_ORDER = (
    "order_id,order_number,order_number_formatted,date,status,shipping_total,order_total,refunded_total,order_currency,"
    "payment_method,customer_id,billing_first_name,billing_email,line_items,shipping_items,coupon_items,refunds,order_notes"
)
PER_LINE = (
    "order_id,order_number,date,status,order_total,refunded_total,order_currency,customer_id,billing_email,item_id,"
    "item_product_id,item_name,item_sku,item_quantity,item_subtotal,item_total,item_refunded,item_refunded_qty,item_meta"
)
FOR_IMPORT = (
    "id,order_number,order_number_formatted,created_at,status,total,total_shipping,cart_tax,total_refunded,currency,"
    "customer_user,billing_email,line_items,shipping_lines,refunds,order_notes"
)
ORDER_EXPORT = (
    "order_id,order_number,order_date,paid_date,status,shipping_total,discount_total,order_total,order_subtotal,"
    "order_currency,payment_method,customer_id,customer_user,customer_email,billing_first_name,billing_email,"
    "shipping_items,refund_items,order_notes,download_permissions,line_item_1,line_item_2"
)
ADVANCED = (
    "Order Number,Order Status,Order Date,Customer Note,First Name (Billing),Email (Billing),Payment Method Title,"
    "Cart Discount Amount,Order Subtotal Amount,Order Shipping Amount,Order Refund Amount,Order Total Amount,"
    "Order Total Tax Amount,SKU,Item #,Item Name,Quantity,Item Cost,Coupon Code"
)


def test_woocommerce_lines_and_refunds_that_are_packed_in_one_cell(tmp_path: Path) -> None:
    row = row_of(
        PER_ORDER,
        order_id="9001",
        date="2025-03-01 10:00:00",
        status="processing",
        order_total="118.00",
        refunded_total="50.00",
        order_currency="EUR",
        customer_id="12",
        billing_email="ada@x.example",
        line_items="id:1|name:Tea\\; green|product_id:77|sku:TEA|quantity:2|subtotal:80.00|total:78.00|meta:;"
        "id:2|name:Cup|product_id:78|sku:|quantity:1|subtotal:30.00|total:30.00|meta:",
        refunds="id:5|date:2025-03-05 09:00:00|amount:30.00|reason:broken\\: cup;"
        "id:6|date:2025-03-07 09:00:00|amount:20.00|reason:",
    )
    events = events_of("woocommerce-orders", written(tmp_path, "orders.csv", tuple(PER_ORDER.split(",")), row))
    assert list(map(brief, events)) == [
        ("Order Completed", "12", "ada@x.example", "2025-03-01T10:00:00+00:00", "9001", 118.0),
        ("Order Refunded", "12", "ada@x.example", "2025-03-05T09:00:00+00:00", "9001", 30.0),
        ("Order Refunded", "12", "ada@x.example", "2025-03-07T09:00:00+00:00", "9001", 20.0),
    ]
    assert events[0]["properties"]["products"] == [
        {"product_id": "TEA", "name": "Tea; green", "quantity": 2.0, "price": 39.0},
        {"product_id": "78", "name": "Cup", "quantity": 1.0, "price": 30.0},
    ]


def test_woocommerce_a_row_for_each_line(tmp_path: Path) -> None:
    shared = {"order_id": "9002", "date": "2025-03-01 10:00:00", "status": "completed", "order_total": "90.00"}
    guest = {"customer_id": "0", "billing_email": "bo@x.example", "refunded_total": "30.00", "order_currency": "EUR"}
    rows = (
        row_of(PER_LINE, **shared, **guest, item_sku="TEA", item_name="Tea", item_quantity="2", item_total="60.00"),
        row_of(PER_LINE, **shared, **guest, item_name="Cup", item_quantity="1", item_total="30.00"),
    )
    ordered, refunded = events_of("woocommerce-orders", written(tmp_path, "o.csv", tuple(PER_LINE.split(",")), *rows))
    assert brief(ordered) == ("Order Completed", "", "bo@x.example", "2025-03-01T10:00:00+00:00", "9002", 90.0)
    assert brief(refunded) == ("Order Refunded", "", "bo@x.example", "2025-03-01T10:00:00+00:00", "9002", 30.0)
    assert ordered["properties"]["products"] == [
        {"product_id": "TEA", "name": "Tea", "quantity": 2.0, "price": 30.0},
        {"product_id": "Cup", "name": "Cup", "quantity": 1.0, "price": 30.0},
    ]


def test_woocommerce_lines_and_refunds_as_json(tmp_path: Path) -> None:
    row = row_of(
        FOR_IMPORT,
        id="9003",
        created_at="2025-03-01 10:00:00",
        status="refunded",
        total="60.00",
        total_refunded="60.00",
        currency="EUR",
        customer_user="0",
        billing_email="cy@x.example",
        line_items='[{"id":1,"name":"Tea","product_id":77,"sku":"TEA","quantity":2,"total":"60.00"}]',
        refunds='[{"id":5,"date":"2025-03-05 09:00:00","amount":"60.00","reason":"","line_items":[]}]',
    )
    ordered, refunded = events_of("woocommerce-orders", written(tmp_path, "o.csv", tuple(FOR_IMPORT.split(",")), row))
    assert brief(ordered) == ("Order Completed", "", "cy@x.example", "2025-03-01T10:00:00+00:00", "9003", 60.0)
    assert brief(refunded) == ("Order Refunded", "", "cy@x.example", "2025-03-05T09:00:00+00:00", "9003", 60.0)
    assert ordered["properties"]["products"] == [{"product_id": "TEA", "name": "Tea", "quantity": 2, "price": 30.0}]


def test_woocommerce_a_column_for_each_line(tmp_path: Path) -> None:
    eggs = "name:Eggs|product_id:10645|sku:|quantity:5|total:32.50|sub_total:32.50"
    rice = "name:Rice; 5 kg: long grain|product_id:17|sku:RICE|quantity:1|total:22.50|sub_total:25.00|refunded:22.50"
    member = {"customer_id": "12", "customer_user": "12", "customer_email": "ada@x.example"}
    rows = (
        row_of(
            ORDER_EXPORT,
            **member,
            order_id="9004",
            order_date="2025-03-02 09:00:00",
            status="completed",
            order_total="55.00",
            order_currency="INR",
            refund_items="amount:22.50|reason:Late|date:2025-03-09 08:00:00",
            line_item_1=eggs,
            line_item_2=rice,
        ),
        row_of(
            ORDER_EXPORT,
            customer_id="0",
            order_id="9005",
            order_date="2025-03-03 09:00:00",
            status="refunded",
            order_total="32.50",
            order_currency="INR",
            billing_email="guest@x.example",
            line_item_1=eggs,
        ),
    )
    events = events_of("woocommerce-orders", written(tmp_path, "o.csv", tuple(ORDER_EXPORT.split(",")), *rows))
    assert list(map(brief, events)) == [
        ("Order Completed", "12", "ada@x.example", "2025-03-02T09:00:00+00:00", "9004", 55.0),
        ("Order Refunded", "12", "ada@x.example", "2025-03-09T08:00:00+00:00", "9004", 22.5),
        ("Order Completed", "", "guest@x.example", "2025-03-03T09:00:00+00:00", "9005", 32.5),
        ("Order Refunded", "", "guest@x.example", "2025-03-03T09:00:00+00:00", "9005", None),
    ]
    assert events[0]["properties"]["products"] == [
        {"product_id": "10645", "name": "Eggs", "quantity": 5.0, "price": 6.5},
        {"product_id": "RICE", "name": "Rice; 5 kg: long grain", "quantity": 1.0, "price": 22.5},
    ]


def test_woocommerce_states_as_people_read_them_and_one_that_nobody_knows(tmp_path: Path) -> None:
    def order(number: str, state: str) -> tuple[str, ...]:
        row = {"Order Number": number, "Order Status": state, "Order Date": "2025-03-02 09:00", "SKU": "TEA"}
        sums = {"Order Total Amount": "50.00", "Order Refund Amount": "0.00", "Quantity": "1", "Item Cost": "50.00"}
        return row_of(ADVANCED, **row, **sums, **{"Email (Billing)": "ada@x.example"})

    states = ("Completed", "Pending payment", "Failed", "Cancelled", "On hold", "Storniert")
    orders = [order(str(number), state) for number, state in enumerate(states, start=1)]
    rows = rows_of("woocommerce-orders", written(tmp_path, "o.csv", tuple(ADVANCED.split(",")), *orders))
    events = [json.loads(row.event) for row in rows if row.error is None]
    assert [(event["properties"]["order_id"], event["event"]) for event in events] == [
        ("1", "Order Completed"),
        ("2", "Checkout Started"),
        ("3", "Payment Error"),
        ("4", "Order Completed"),
        ("4", "Order Cancelled"),
        ("5", "Order Completed"),
    ]
    (refused,) = [row.error for row in rows if row.error is not None]
    assert (refused.code, refused.field) == ("unknown_value", "event")
    assert "Order Status 'Storniert' is none of" in str(refused)


def test_woocommerce_reports_of_orders_name_nobody(tmp_path: Path) -> None:
    """Analytics > Orders > Download has the customer's name only, which is no id."""
    header = ("Date", "Order #", "N. Revenue (formatted)", "Status", "Customer", "Customer type", "Product(s)")
    file = written(tmp_path, "o.csv", header, ("2025-03-02 09:00:00", "7", "50", "completed", "Ada L", "new", "1x Tea"))
    with pytest.raises(ImportFileError, match="has no column customer_email"):
        rows_of("woocommerce-orders", file)


def test_shopify_orders_of_nobody_are_found_again_by_webhooks(tmp_path: Path) -> None:
    """A store's sale has no customer: it is the person that a later webhook of the order names."""
    header = "Name,Email,Financial Status,Total,Created at,Lineitem name,Cancelled at,Refunded Amount,Id,Phone"
    sale = {"Financial Status": "paid", "Total": "9.90", "Created at": "2025-03-03 08:00:00 +0100"}
    rows = (
        row_of(header, Name="#1004", **sale, Id="5004"),
        row_of(header, Name="#1005", **sale, Id="5005", Phone="'+436601234567"),
    )
    events = events_of("shopify-orders", written(tmp_path, "orders_export.csv", tuple(header.split(",")), *rows))
    assert [(event.get("userId"), event["anonymousId"]) for event in events] == [
        (None, "shopify-order-5004"),
        ("+436601234567", "shopify-order-5005"),
    ]


def test_ids_that_a_spreadsheet_rounded_are_refused(tmp_path: Path) -> None:
    header = ("Name", "Email", "Total", "Created at", "Id")
    orders = [(f"#{number}", "ada@x.example", "5", "2025-03-03 08:00:00", "5.84023E+12") for number in (1, 2)]
    rows = rows_of("shopify-orders", written(tmp_path, "orders_export.csv", header, *orders))
    assert [(row.error.code, row.error.field) for row in rows if row.error] == [("rounded_id", "anonymousId")] * 2


def test_posthog_lists_of_events_as_csv(tmp_path: Path) -> None:
    header = [
        "event",
        "*.uuid",
        "*.event",
        "*.properties.$current_url",
        "*.properties.order_id",
        "*.properties.revenue",
    ]
    header += ["*.properties.$is_identified", "*.properties.$ip", "*.timestamp", "*.team_id", "*.distinct_id"]
    time = "2025-03-01T10:00:00.123000Z"
    address = "https://shop.example/"
    rows = (
        ("$pageview", "u-1", "$pageview", address, "", "", "False", "203.0.113.7", time, "1", "anon-1"),
        ("Order Completed", "u-2", "Order Completed", "", "1001", "118.5", "True", "", time, "1", "ada"),
    )
    page, order = events_of("posthog", written(tmp_path, "events.csv", tuple(header), *rows))
    assert (page["type"], page.get("userId"), page["anonymousId"], page["messageId"]) == ("page", None, "anon-1", "u-1")
    assert page["context"] == {"page": {"url": "https://shop.example/"}}
    assert "$ip" not in page["properties"]
    assert brief(order) == ("Order Completed", "ada", "ada", "2025-03-01T10:00:00.123000+00:00", "1001", None)
    assert order["properties"]["revenue"] == "118.5"


def test_posthog_aliases_groups_and_traits_are_as_live(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    names = [
        ("$create_alias", {"alias": "ada"}),
        ("$merge_dangerously", {"alias": "old-ada"}),
        ("$groupidentify", {"$group_type": "company", "$group_key": "acme", "$is_identified": True}),
        ("$set", {"$set": {"referral_code": "ADA5"}}),
        ("$screen", {"$screen_name": "Basket"}),
    ]
    file.write_text(
        "".join(
            json.dumps({"uuid": str(number), "event": name, "distinct_id": "x-1", "properties": properties,
                        "timestamp": "2025-03-01T10:00:00Z"}) + "\n"
            for number, (name, properties) in enumerate(names)
        )
    )  # fmt: skip
    created, merged, group, person, screen = events_of("posthog", file)
    assert (created["type"], created["previousId"], created["userId"]) == ("alias", "x-1", "ada")
    assert (merged["type"], merged["previousId"], merged["userId"]) == ("alias", "old-ada", "x-1")
    assert (group["type"], group["groupId"], group["userId"]) == ("group", "acme", "x-1")
    assert (person["type"], person["traits"]) == ("identify", {"referral_code": "ADA5"})
    assert (screen["type"], screen["name"]) == ("screen", "Basket")


def test_ga4_user_properties_are_traits_and_collected_campaigns_count(tmp_path: Path) -> None:
    file = tmp_path / "events_20250301.json"
    row = {
        "event_date": "20250301",
        "event_timestamp": "1740823260000001",
        "event_name": "refund",
        "event_params": [
            {"key": "currency", "value": {"string_value": "EUR"}},
            {"key": "ga_session_id", "value": {"int_value": "1740823199"}},
        ],
        "user_properties": [
            {"key": "plan", "value": {"string_value": "gold", "set_timestamp_micros": "1740823260000000"}},
        ],
        "user_pseudo_id": "12.34",
        "device": {"category": "smart tv", "operating_system": "Android"},
        "collected_traffic_source": {"manual_source": "news", "manual_medium": "email", "manual_content": "top"},
        "ecommerce": {"refund_value": 18.0, "transaction_id": "T-7"},
    }
    file.write_text(json.dumps(row))
    (refund,) = events_of("ga4-bigquery", file)
    assert brief(refund) == ("refund", "", "12.34", "2025-03-01T10:01:00.000001+00:00", "T-7", 18.0)
    assert refund["traits"] == {"plan": "gold"}
    assert refund["context"]["campaign"] == {"source": "news", "medium": "email", "content": "top"}
    assert refund["context"]["device"] == {"type": "tv"}


def test_matomo_goals_have_their_names_and_product_pages_their_product(tmp_path: Path) -> None:
    file = tmp_path / "visits.json"
    actions: list[dict[str, Any]] = [
        {"type": "action", "url": "https://shop.example/tea", "productViewSku": "TEA", "productViewPrice": 30},
        {"type": "goal", "goalName": "Signed Up", "goalId": 3, "revenue": 0},
        {"type": "ecommerceAbandonedCart", "revenue": "30", "itemDetails": [{"itemSKU": "TEA", "quantity": 1}]},
    ]
    visit: dict[str, Any] = {
        "idVisit": 5,
        "visitorId": "b6a1",
        "userId": "",
        "deviceType": "Phablet",
        "siteCurrency": "EUR",
    }
    file.write_text(json.dumps([{**visit, "actionDetails": [{**each, "timestamp": 1740823200} for each in actions]}]))
    page, goal, cart = events_of("matomo", file)
    assert (page["type"], page["properties"]["product_id"]) == ("page", "TEA")
    assert page["context"]["device"] == {"type": "mobile"}
    assert (goal["type"], goal["event"], goal.get("userId")) == ("track", "Signed Up", None)
    assert (cart["event"], cart["properties"]["products"]) == ("Cart Viewed", [{"product_id": "TEA", "quantity": 1}])
