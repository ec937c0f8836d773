"""Touchpoints and verdicts of sales: JSON, JSON lines and CSV as tills write them."""

import json
from typing import Any

import pytest

from services.ingest.dialects.pos.parse import parse_sales
from services.ingest.event.verdict import MAX_EVENTS
from services.ingest.validate.request import Result
from tests.support.dialect_requests import checked, codes, only, payloads, post, rest, validated
from tests.support.dialect_requests import take as take_by
from throughline.kit.errors import ServiceError

SALE = {"receipt": "R-1", "sold_at": "2026-01-31T09:30:00", "customer": "ada", "kind": "sale", "total": 42.5}
HEAD = "receipt,sold_at,customer,kind,total,store\n"


def take(body: Any, query: str = "time_zone=Europe/Vienna") -> Result:
    return take_by(parse_sales, post(body if not isinstance(body, str) else body.encode(), query, "/v1/pos"))


def test_a_sale() -> None:
    touchpoint = only(take({**SALE, "currency": "EUR", "store": "Graz", "register": 3, "basket": ["a"], "note": None}))
    assert (touchpoint.call, touchpoint.name, touchpoint.actor, touchpoint.channel) == (
        "track",
        "pos_sale",
        "ada",
        "store",
    )
    assert (touchpoint.order_id, touchpoint.value, touchpoint.currency) == ("R-1", 42.5, "EUR")
    assert (touchpoint.message_id, touchpoint.occurred_us) == ("pos:sale:R-1", 1_769_848_200_000_000)  # 08:30 UTC
    assert rest(touchpoint)["properties"] == {
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
    touchpoint = only(take({**SALE, **row}))
    assert (touchpoint.name, touchpoint.order_id, touchpoint.value) == (name, order, value)


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
def test_every_format_gives_the_same(body: Any) -> None:
    touchpoints = take(body).touchpoints
    assert [(touchpoint.message_id, touchpoint.actor, touchpoint.value) for touchpoint in touchpoints] == [
        ("pos:sale:R-1", "ada", 42.5),
        ("pos:sale:R-2", "ada", 42.5),
    ]
    assert {touchpoint.occurred_us for touchpoint in touchpoints} == {1_769_848_200_000_000}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "latin-1", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("head", ["", "sep=;\r\n"])
def test_tables_are_read_in_the_encoding_that_tills_write(encoding: str, head: str) -> None:
    text = f"{head}receipt;sold_at;customer;total;store\r\nR-1;2026-01-31T09:30;ada;1.042,50;Köflach, Süd\r\n"
    touchpoint = only(take(text.encode(encoding)))
    assert (touchpoint.order_id, touchpoint.value) == ("R-1", 1042.5)
    assert rest(touchpoint)["properties"]["store"] == "Köflach, Süd"


def test_json_in_utf_16_is_read() -> None:
    assert only(take(json.dumps([SALE]).encode("utf-16"))).order_id == "R-1"


def test_other_columns_are_properties() -> None:
    touchpoint = only(
        take(
            'receipt,sold_at,customer,sku,Basket size,comment\nR-1,2026-01-31T09:30:00,ada,BOOT,2,"a ""b"",\nc"\n',
            "currency=EUR",
        )
    )
    assert (touchpoint.product_id, touchpoint.currency, touchpoint.occurred_us) == (
        "BOOT",
        "EUR",
        1_769_851_800_000_000,
    )
    assert (
        rest(touchpoint)["properties"] | {"sku": "BOOT", "Basket size": "2", "comment": 'a "b",\nc'}
        == rest(touchpoint)["properties"]
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
        ("2.02601E+11,2026-01-31,ada,sale,1,Graz", "rounded_id", "receipt"),
        ("R-9,2026-01-31,,sale,1,Graz", "missing_id", "customer"),
        ("R-9,2026-01-31,guest,sale,1,Graz", "illegal_id", "customer"),
        ("R-9,2026-01-31,ada,sale,1", "wrong_columns", ""),
        ("R-9,2026-01-31,ada,sale,1,Graz,Wien", "wrong_columns", ""),
        ('R-9,2026-01-31,ada,sale,1,"Graz', "wrong_columns", ""),
        ("R-9,2026-01-31,\x00,sale,1,Graz", "nul_character", "customer"),
        ("R-9,2026-01-31,Gr\udcfcn,sale,1,Wörgl", "invalid_unicode", "customer"),
        (f"R-9,2026-01-31,ada,sale,1,{'x' * 200_000}", "wrong_columns", ""),
    ],
)
def test_a_bad_row_leaves_its_neighbours_alone(row: str, code: str, field: str) -> None:
    good = ["R-1,2026-01-31,ada,sale,1,Graz", "R-2,2026-01-31,ada,sale,1,Graz"]
    body = HEAD + "\n".join([good[0], row, good[1]])
    parsed = parse_sales(post(body.encode("utf-8", "surrogateescape")))
    result = take(body.encode("utf-8", "surrogateescape"))
    assert codes(result) == [None, ("rejected", code, field), None]
    assert parsed.reply is not None
    answer = json.loads(parsed.reply(result.verdicts)[1])
    assert (answer["accepted"], answer["rejected"]) == (2, 1)
    assert [(verdict["row"], verdict["verdict"]) for verdict in answer["verdicts"]] == [
        (1, "ok"),
        (2, "rejected"),
        (3, "ok"),
    ]
    assert isinstance(json.loads(result.rejected[0].payload.decode("utf-8", "replace")), dict)


def test_a_bad_line_leaves_its_neighbours_alone() -> None:
    result = take(f'{json.dumps(SALE)}\n{{"receipt": \n[1]\n{json.dumps(SALE)}\n')
    assert codes(result) == [
        None,
        ("rejected", "unreadable_json", ""),
        ("rejected", "wrong_type", ""),
        None,
    ]
    assert [json.loads(payload) for payload in payloads(result)] == [{"row": '{"receipt": '}, {"row": "[1]"}]


def test_consent_has_a_column() -> None:
    parsed = parse_sales(
        post(
            b"receipt,sold_at,customer,analytics_consent\nR-1,2026-01-31,ada,yes\nR-2,2026-01-31,ada,no\nR-3,2026-01-31,ada,\n"
        )
    )
    result = validated(parsed, consent="drop")
    assert codes(result) == [None, *[("dropped", "no_consent", "analytics_consent")] * 2]
    assert parsed.reply is not None
    assert json.loads(parsed.reply(result.verdicts)[1])["dropped"] == 2


def test_a_sale_without_a_customer_is_a_customer_of_its_own_if_asked_for() -> None:
    rows = "receipt,sold_at,kind,original_receipt\nR-1,2026-01-31,sale,\nR-2,2026-01-31,refund,R-1\n"
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
def test_unreadable_requests(body: Any, query: str, code: str) -> None:
    with pytest.raises(ServiceError) as failure:
        take(body, query)
    assert (failure.value.status, failure.value.code) == (400, code)
    assert code != "too_many_events" or "throughline import" in failure.value.message


@pytest.mark.parametrize("row", [{}, {"customer": "a"}, {**SALE, "total": "x"}])
def test_the_verdict_of_a_name_with_half_a_character_can_be_sent(row: dict[str, Any]) -> None:
    result = checked(parse_sales, post(json.dumps([{**row, "note": {"\ud800": "\0"}}]).encode(), "", "/v1/pos"))
    assert len(result.verdicts) == 1
