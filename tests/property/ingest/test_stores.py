"""Any request to the stores' paths: a verdict for each event, or a 400; nothing else is ever raised."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.dialects.pos.parse import parse_sales
from services.ingest.dialects.shopify.parse import parse_webhook
from tests.strategies.pos import GOOD_SALE, SALES
from tests.strategies.shopify import HEADER_NAMES, PAYLOADS, TOPICS, webhook
from tests.strategies.values import TEXT
from tests.support.dialect_requests import checked
from tests.support.laws import attempt


@given(TOPICS, PAYLOADS)
def test_any_payload(topic: str, payload: Any) -> None:
    result = attempt(checked, parse_webhook, webhook(topic, {}, json.dumps(payload).encode("utf-8", "surrogatepass")))
    assert result is not None or not isinstance(payload, dict)


@given(
    TOPICS | TEXT.filter(str.isascii),
    st.dictionaries(HEADER_NAMES, st.binary(max_size=30) | st.just(b"true")),
    PAYLOADS,
)
def test_any_headers(topic: str, headers: dict[bytes, bytes], payload: Any) -> None:
    request = webhook(topic, headers, json.dumps(payload).encode("utf-8", "surrogatepass"))
    result, again = attempt(checked, parse_webhook, request), attempt(checked, parse_webhook, request)
    assert result == again


@given(TOPICS, st.binary(max_size=60))
def test_any_bytes(topic: str, body: bytes) -> None:
    attempt(checked, parse_webhook, webhook(topic, {}, body))


def test_as_deep_as_can_be() -> None:
    for depth in (300, 500, 900, 100_000):
        for wrapped in (b'{"customer":{"id":1},"updated_at":%s}', b'{"customer":{"id":1},"line_items":%s}', b"%s"):
            attempt(checked, parse_webhook, webhook("orders/create", {}, wrapped % (b"[" * depth + b"]" * depth)))
    assert len(checked(parse_webhook, webhook("orders/create", {}, b'{"customer":{"id":1}}')).verdicts) == 1


QUERIES = st.sampled_from(
    ["", "anonymous=receipt&currency=%ff", "time_zone=Europe/Vienna", "time_zone=%00&anonymous=x"]
)
CELLS = st.sampled_from(
    ['"', '""', "a", "\n", "\r", ",", ";", "\t", "receipt", "R-1", "\ufeff", "\udcff", "\0", "{", "[", " "]
)


def sales(body: bytes, query: str = "") -> Request:
    return Request("POST", "/v1/pos", query, [], body)


@given(SALES, QUERIES)
def test_neighbours_of_any_sale_survive(sale: Any, query: str) -> None:
    for body in ([GOOD_SALE, sale, GOOD_SALE], {"sales": [GOOD_SALE, sale, GOOD_SALE]}):
        result = attempt(checked, parse_sales, sales(json.dumps(body).encode(), query))
        if result is not None:
            assert result.verdicts[0] is result.verdicts[2] is None
    lines = "\n".join(json.dumps(row) for row in (GOOD_SALE, sale, GOOD_SALE))
    assert checked(parse_sales, sales(lines.encode())).verdicts[::2] == [None, None]


@given(st.lists(CELLS, max_size=40).map("".join), QUERIES)
def test_any_csv(text: str, query: str) -> None:
    attempt(checked, parse_sales, sales(text.encode("utf-8", "surrogateescape"), query))
    row = "R-1,ada,2026-01-31\n"
    broken = text.replace("\n", "").replace("\r", "").replace("receipt", "")
    if broken.strip():
        result = checked(
            parse_sales, sales(f"receipt,customer,sold_at\n{row}{broken}\n{row}".encode("utf-8", "surrogateescape"))
        )
        assert len(result.verdicts) == 3
        assert result.verdicts[0] == result.verdicts[2]
        assert result.verdicts[0] is None or result.verdicts[0].status == "warning"


@given(st.binary(max_size=60))
def test_any_bytes_of_a_till(body: bytes) -> None:
    for before in (b"", b"{", b"receipt\n"):
        attempt(checked, parse_sales, sales(before + body))
