"""What is kept of addresses: of events, of the refused ones, and of whatever text stands where one should."""

import json
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.registry import RULES
from services.ingest.validate.privacy import kept_of_rejected, shorten
from services.ingest.validate.request import Result
from tests.support.dialect_requests import payloads, segment, validated
from throughline.store.access.modes import IpMode

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "messageId": "m"}


def judged(batch: dict[str, Any], mode: str) -> Result:
    return validated(segment(json.dumps(batch).encode()), 1, ip=mode)


def kept(context: Any, mode: str, shared: Any = None) -> Any:
    (touchpoint,) = judged({"batch": [EVENT | {"context": context}], "context": shared}, mode).touchpoints
    return json.loads(touchpoint.rest).get("context")


@given(st.ip_addresses(v=4))
def test_the_first_24_bits_are_kept_of_ipv4(address: IPv4Address) -> None:
    short = IPv4Address(shorten(str(address)))
    assert int(short) >> 8 == int(address) >> 8
    assert int(short) & 0xFF == 0


@given(st.ip_addresses(v=6))
def test_the_first_48_bits_are_kept_of_ipv6(address: IPv6Address) -> None:
    short = IPv6Address(shorten(str(address)))
    if address.ipv4_mapped is not None:
        assert short.ipv4_mapped == ip_address(shorten(str(address.ipv4_mapped)))
    else:
        assert int(short) == int(address) >> 80 << 80


@given(st.one_of(st.text(), st.ip_addresses().map(str)))
def test_shortened_once_is_shortened_for_ever(text: str) -> None:
    assert shorten(shorten(text)) == shorten(text)


@pytest.mark.parametrize(
    ("mode", "sent", "expected"),
    [
        ("shorten", "81.2.69.160", "81.2.69.0"),
        ("shorten", "2001:db8:1:2:3:4:5:6", "2001:db8:1::"),
        ("shorten", "fe80::1%eth0", "fe80::"),
        ("shorten", "::ffff:81.2.69.160", "::ffff:81.2.69.0"),
        ("keep", "81.2.69.160", "81.2.69.160"),
    ],
)
def test_an_address(mode: str, sent: str, expected: str) -> None:
    assert ip_address(kept({"ip": sent, "locale": "de"}, mode)["ip"]) == ip_address(expected)
    # Beside it, and where the batch gives it to all, as well.
    assert kept({"ip": sent, "locale": "de"}, mode)["locale"] == "de"
    assert ip_address(kept({"locale": "de"}, mode, {"ip": sent})["ip"]) == ip_address(expected)


@pytest.mark.parametrize(
    ("mode", "sent"),
    [
        ("drop", "81.2.69.160"),
        ("shorten", "81.2.69.160:443"),
        ("shorten", ["81.2.69.160"]),
        ("shorten", {"v4": "81.2.69.160"}),
        ("shorten", 1359103392),
        ("shorten", ""),
    ],
)
def test_what_is_dropped_or_can_not_be_shortened_is_gone(mode: str, sent: Any) -> None:
    assert kept({"ip": sent, "locale": "de"}, mode) == {"locale": "de"}


def test_a_name_given_twice_hides_nothing() -> None:
    body = (
        b'{"batch": [{"type": "page", "userId": "u", "messageId": "m", "context": {"ip": "81.2.69.160", "ip": "x"}}]}'
    )
    result = validated(segment(body), 1)
    assert "81.2.69" not in result.touchpoints[0].rest


def test_each_context_of_a_batch_is_looked_at() -> None:
    events = [EVENT | {"messageId": f"m{n}", "context": {"ip": f"10.0.{n // 2}.7"}} for n in range(6)]
    touchpoints = judged({"batch": events}, "shorten").touchpoints
    assert [json.loads(touchpoint.rest)["context"]["ip"] for touchpoint in touchpoints] == [
        f"10.0.{n // 2}.0" for n in range(6)
    ]


def test_a_refused_event_is_kept_without_them() -> None:
    (raw,) = payloads(judged({"batch": [{"type": "track", "context": {"ip": "81.2.69.160"}}]}, "shorten"))
    assert json.loads(raw) == {"type": "track", "context": {"ip": "81.2.69.0"}}


@pytest.mark.parametrize(
    ("raw", "shortened", "dropped"),
    [
        (
            b'{"a": 1, "$ip" : "81.2.69.160", "b": "',
            b'{"a": 1, "$ip" : "81.2.69.0", "b": "',
            b'{"a": 1, "$ip" : "", "b": "',
        ),
        (b'{"ip":"2001:db8:1:2::7"}', b'{"ip":"2001:db8:1::"}', b'{"ip":""}'),
        (b'{"ip":"8\\u0031.2.69.160"}', b'{"ip":""}', b'{"ip":""}'),
        (b"e=pv&ip=81.2.69.160&p=web", b"e=pv&ip=81.2.69.0&p=web", b"e=pv&ip=&p=web"),
        (b"ip=2001%3Adb8%3a1%3A%3A7", b"ip=2001:db8:1::", b"ip="),
        (b"tip=81.2.69.160&zip=1", b"tip=81.2.69.160&zip=1", b"tip=81.2.69.160&zip=1"),
    ],
)
def test_of_an_unreadable_one_only_they_change(raw: bytes, shortened: bytes, dropped: bytes) -> None:
    assert kept_of_rejected(raw, IpMode.SHORTEN, RULES) == shortened
    assert kept_of_rejected(raw, IpMode.DROP, RULES) == dropped
    assert kept_of_rejected(raw, IpMode.KEEP, RULES) == raw
