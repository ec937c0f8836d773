"""A till's sales to touchpoints and verdicts: JSON, JSON lines and CSV as tills write them."""

import json
from typing import Any

import pytest

from services.ingest.dialects.pos.parse import parse_sales
from services.ingest.event.verdict import MAX_EVENTS
from services.ingest.validate.request import Result
from tests.support.dialect_requests import NOW, codes, only, payloads, post, rest, validated
from tests.support.dialect_requests import take as take_by
from throughline.kit.errors import ServiceError

SALE = {"receipt": "R-1", "sold_at": "2026-01-31T09:30:00", "customer": "ada", "kind": "sale", "total": 42.5}
HEAD = "receipt,sold_at,customer,kind,total,store\n"


def take(body: Any, query: str = "time_zone=Europe/Vienna") -> Result:
    return take_by(parse_sales, post(body if not isinstance(body, str) else body.encode(), query, "/v1/pos"))


def test_a_sale() -> None:
    found = only(take({**SALE, "currency": "EUR", "store": "Graz", "register": 3, "basket": ["a"], "note": None}))
    assert (found.call, found.name, found.actor, found.channel) == ("track", "pos_sale", "ada", "store")
    assert (found.order_id, found.value, found.currency) == ("R-1", 42.5, "EUR")
    assert (found.message_id, found.occurred_us) == ("pos:sale:R-1", 1_769_848_200_000_000)  # 08:30 UTC
    assert rest(found)["properties"] == {
        "order_id": "R-1",
        "value": 42.5,
        "currency": "EUR",
        "store": "Graz",
        "register": 3,
        "basket": ["a"],
        "acquisition_channel": "store",
    }


@pytest.mark.parametrize(
    ("row", "name", "order", "value"),
    [
        ({"kind": "refund", "total": -42.5}, "Order Refunded", "R-1", 42.5),
        ({"kind": None, "total": "-42.5"}, "Order Refunded", "R-1", 42.5),
        ({"kind": "Return", "original_receipt": "R-0", "total": None}, "Order Refunded", "R-0", None),
        ({"kind": "void"}, "Order Cancelled", "R-1", 42.5),
        ({"kind": None, "total": None}, "pos_sale", "R-1", None),
    ],
)
def test_kinds(row: dict[str, Any], name: str, order: str, value: float | None) -> None:
    found = only(take({**SALE, **row}))
    assert (found.name, found.order_id, found.value) == (name, order, value)


@pytest.mark.parametrize(
    "body",
    [
        [SALE, {**SALE, "receipt": "R-2"}],
        {"sales": [SALE, {**SALE, "receipt": "R-2"}]},
        "\n".join(json.dumps({**SALE, "receipt": receipt}) for receipt in ("R-1", "R-2")) + "\n\n",
        HEAD + "R-1,2026-01-31T09:30:00,ada,sale,42.50,Graz\nR-2,2026-01-31T09:30,ada,sale,42.50,Graz\n",
        "\ufeffReceipt;Sold at;Customer ID;Kind;Amount\r\nR-1;2026-01-31 09:30;ada;Sale;42,50\r\n"
        "R-2;2026-01-31 09:30;ada;;42,50\r\n",
        'order_id\ttimestamp\tloyalty_card\tvalue\n"R-1"\t2026-01-31T08:30Z\tada\t42.5\nR-2\t2026-01-31T08:30Z\tada\t42.5',
    ],
    ids=["list", "object", "lines", "csv", "semicolons", "tabs"],
)
def test_the_same_however_it_is_written(body: Any) -> None:
    found = take(body).touchpoints
    assert [(one.message_id, one.actor, one.value) for one in found] == [
        ("pos:sale:R-1", "ada", 42.5),
        ("pos:sale:R-2", "ada", 42.5),
    ]
    assert {one.occurred_us for one in found} == {1_769_848_200_000_000}


def test_columns_of_its_own_are_properties() -> None:
    found = only(take('receipt,customer,sku,Basket size,comment\nR-1,ada,BOOT,2,"a ""b"",\nc"\n', "currency=EUR"))
    assert (found.product_id, found.currency, found.occurred_us) == ("BOOT", "EUR", NOW)
    assert (
        rest(found)["properties"] | {"sku": "BOOT", "Basket size": "2", "comment": 'a "b",\nc'}
        == rest(found)["properties"]
    )
    assert only(take({**SALE, "message_id": "mine", "acquisition_channel": "Web"})).channel == "web"
    assert only(take({**SALE, "message_id": "mine"})).message_id == "mine"


@pytest.mark.parametrize(
    ("row", "code", "field"),
    [
        ("R-9,soon,ada,sale,1,Graz", "unreadable_time", "sold_at"),
        ("R-9,2026-01-31,ada,sale,1.234.5,Graz", "wrong_type", "total"),
        ("R-9,2026-01-31,ada,sale,inf,Graz", "number_out_of_range", "total"),
        ("R-9,2026-01-31,ada,gift,1,Graz", "unknown_kind", "kind"),
        (",2026-01-31,ada,sale,1,Graz", "missing_field", "receipt"),
        ("R-9,2026-01-31,,sale,1,Graz", "missing_id", "customer"),
        ("R-9,2026-01-31,guest,sale,1,Graz", "illegal_id", "customer"),
        ("R-9,2026-01-31,ada,sale,1", "wrong_columns", ""),
        ("R-9,2026-01-31,ada,sale,1,Graz,Wien", "wrong_columns", ""),
        ('R-9,2026-01-31,ada,sale,1,"Graz', "wrong_columns", ""),
        ("R-9,2026-01-31,ada,sale,1,\x00", "nul_character", "store"),
        ("R-9,2026-01-31,ada,sale,1,Gr\udcfcn", "invalid_unicode", "store"),
        (f"R-9,2026-01-31,ada,sale,1,{'x' * 200_000}", "wrong_columns", ""),
    ],
)
def test_a_bad_row_harms_nobody(row: str, code: str, field: str) -> None:
    good = ["R-1,2026-01-31,ada,sale,1,Graz", "R-2,2026-01-31,ada,sale,1,Graz"]
    body = HEAD + "\n".join([good[0], row, good[1]])
    opened = parse_sales(post(body.encode("utf-8", "surrogateescape")))
    result = take(body.encode("utf-8", "surrogateescape"))
    assert codes(result) == [None, ("rejected", code, field), None]
    assert opened.reply is not None
    said = json.loads(opened.reply(result.verdicts)[1])
    assert (said["accepted"], said["rejected"]) == (2, 1)
    assert [(one["row"], one["verdict"]) for one in said["verdicts"]] == [(1, "ok"), (2, "rejected"), (3, "ok")]
    assert isinstance(json.loads(result.rejected[0].payload.decode("utf-8", "replace")), dict)


def test_a_bad_line_harms_nobody() -> None:
    result = take(f'{json.dumps(SALE)}\n{{"receipt": \n[1]\n{json.dumps(SALE)}\n')
    assert codes(result) == [
        None,
        ("rejected", "unreadable_json", ""),
        ("rejected", "wrong_type", ""),
        None,
    ]
    assert [json.loads(payload) for payload in payloads(result)] == [{"row": '{"receipt": '}, {"row": "[1]"}]


def test_consent_has_a_column() -> None:
    opened = parse_sales(post(b"receipt,customer,analytics_consent\nR-1,ada,yes\nR-2,ada,no\nR-3,ada,\n"))
    found = validated(opened, consent="drop")
    assert codes(found) == [None, *[("dropped", "no_consent", "analytics_consent")] * 2]
    assert opened.reply is not None
    assert json.loads(opened.reply(found.verdicts)[1])["dropped"] == 2


def test_who_did_not_say_is_a_customer_of_its_own_if_that_is_wanted() -> None:
    rows = "receipt,kind,original_receipt\nR-1,sale,\nR-2,refund,R-1\n"
    assert [verdict and verdict[1] for verdict in codes(take(rows))] == ["missing_id", "missing_id"]
    sale, refund = take(rows, "anonymous=receipt").touchpoints
    assert (sale.actor, sale.user_id, refund.actor, refund.order_id) == ("pos-R-1", "", "pos-R-1", "R-1")


@pytest.mark.parametrize(
    ("body", "query", "code"),
    [
        ("", "", "empty_body"),
        ("\n \n", "", "empty_body"),
        ("bon,summe\nR-1,2\n", "", "missing_column"),
        ("12", "", "missing_column"),
        ("receipt,Receipt\n1,2\n", "", "duplicate_column"),
        ("{", "", "unreadable_json"),
        ("[", "", "unreadable_json"),
        ('{"sales": 1}', "", "wrong_type"),
        (SALE, "time_zone=Wien", "unknown_time_zone"),
        (SALE, "time_zone=../x", "unknown_time_zone"),
        (SALE, "anonymous=yes", "unknown_option"),
        ("receipt\n" + "R\n" * (MAX_EVENTS + 1), "", "too_many_events"),
        ("{}\n" * (MAX_EVENTS + 1), "", "too_many_events"),
        ([{}] * (MAX_EVENTS + 1), "", "too_many_events"),
    ],
)
def test_a_request_nobody_can_read(body: Any, query: str, code: str) -> None:
    with pytest.raises(ServiceError) as failure:
        take(body, query)
    assert (failure.value.status, failure.value.code) == (400, code)
    assert code != "too_many_events" or "throughline import" in failure.value.message
