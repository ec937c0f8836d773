"""What ingest remembers, or looks at quickly, comes out as the long way does."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.dialects.registry import RULES, match_route
from services.ingest.event.verdict import RejectedError, Verdict
from services.ingest.validate import fields, privacy, touchpoint
from services.ingest.validate.request import Result, validate
from tests.strategies.values import JSON
from throughline.kit import time_text
from throughline.store.access.keys import SourceKey, SourceSettings
from throughline.store.access.modes import IpMode

NAMES = st.sampled_from([*fields._SLOTS, "price", "name"])
VALUES = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(["", "1", "u-1", True, 2**53, "yes"]) | JSON
OTHERS = {f"other {number}": number for number in range(fields._MANY)}
CONTEXTS: list[Any] = [
    None,
    [],
    {},
    "text",
    {"ip": "192.0.2.7"},
    {"userAgent": "Googlebot/2.1 (+http://www.google.com/bot.html)"},
    {"page": {"url": "https://shop.example/?utm_source=mail", "referrer": "https://www.google.com/"}},
    {"campaign": {"source": "google", "medium": "cpc"}, "ip": 7},
    {"campaign": {"source": "google", "medium": "email"}, "note": "é" * 1500},
]


def _read(properties: dict[str, Any]) -> tuple[Any, list[Verdict]]:
    warnings: list[Verdict] = []
    try:
        return fields.read_fields(properties, warnings), warnings
    except RejectedError as error:
        return error.verdict, []


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.booleans())
def test_fields_are_read_among_many_properties_as_among_few(properties: dict[str, Any], first: bool) -> None:
    many = {**OTHERS, **properties} if first else {**properties, **OTHERS}
    assert _read(many) == _read(properties)


@given(st.from_regex(r"[12].{3}-.{0,20}", fullmatch=True) | st.datetimes().map(datetime.isoformat))
def test_a_text_that_begins_as_an_iso_time_has_no_other_form(text: str) -> None:
    if text[0] in "12" and text[4:5] == "-":
        assert time_text._YEAR_OUT_OF_RANGE.match(text) is None
        assert time_text._DAY.fullmatch(text) is None
        assert time_text.number_of(text) is None


@given(st.lists(st.sampled_from([*'ipIP\\u0="x', "ip", '"ip', "shipping"]), max_size=30).map("".join))
def test_no_address_is_overlooked(text: str) -> None:
    names = ('ip"', '"ip', "ip=", "Ip", "IP", "\\u00")
    has_name = any(name in text for name in names)
    assert privacy.may_hold_address(text) == has_name


@pytest.mark.parametrize("ip", IpMode)
@given(contexts=st.lists(st.sampled_from(CONTEXTS), min_size=1, max_size=12), shared=st.sampled_from(CONTEXTS))
def test_a_context_says_the_same_whatever_stood_before_it(ip: IpMode, contexts: list[Any], shared: Any) -> None:
    together = _validated(contexts, shared, ip)
    apart = [_validated([context], shared, ip) for context in contexts]
    assert together.verdicts == [verdict for each in apart for verdict in each.verdicts]
    assert [kept._replace(place=0) for kept in together.touchpoints] == [
        kept for each in apart for kept in each.touchpoints
    ]


def _validated(contexts: list[Any], shared: Any, ip: IpMode) -> Result:
    events = [{"type": "page", "userId": "u-1", "messageId": "m-1", "context": context} for context in contexts]
    body = msgspec.json.encode({"batch": events, "context": shared})
    route = match_route("POST", "/v1/batch")
    assert route is not None
    source = SourceKey(b"", 1, 1, "web", enabled=True, settings=SourceSettings(ip=ip))
    parsed = route.parse(Request("POST", "/v1/batch", "", [], body))
    touchpoint._cached_context.cache_clear()
    return validate(parsed, source, RULES, received_us=1_795_000_000_000_000, new_id=lambda: "random")
