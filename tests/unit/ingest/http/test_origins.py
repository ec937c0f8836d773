"""Websites are compared as hosts: no piece of text, case, port or form of a name decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.http.origins import foreign_origin
from throughline.kit.websites import origin_text, website_of

ALLOWED = ("https://shop.example", "https://*.shop.example", "http://localhost:3000", "https://xn--mller-kva.example")


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example",
        "https://SHOP.example",
        "https://shop.example:443",
        "https://shop.example.",
        "https://www.shop.example",
        "https://a.b.shop.example",
        "http://localhost:3000",
        "https://xn--mller-kva.example",
        "https://müller.example",
    ],
)
def test_a_listed_website_may_send(origin: str) -> None:
    assert foreign_origin(ALLOWED, {b"origin": origin.encode()}) == ""


@pytest.mark.parametrize(
    "origin",
    [
        "https://shop.example.evil",
        "https://evilshop.example",
        "https://evil-shop.example",
        "https://evil.example/.shop.example",
        "https://evil.example#.shop.example",
        "https://evil.example?https://shop.example",
        "https://shop.example@evil.example",
        "https://shop.example:8443",
        "http://shop.example",
        "http://localhost",
        "https://*.shop.example",
        "https://.shop.example",
        "https://xn--mller-kva.example.evil",
        "https://muller.example",
        "null",
        "",
        "https://",
        "x" * 5000,
        "https://[::1",
        "https://shop.example:port",
    ],
)
def test_no_other_may(origin: str) -> None:
    headers = {b"origin": origin.encode()}
    assert foreign_origin(ALLOWED, headers)


@pytest.mark.parametrize(
    ("headers", "is_allowed"),
    [
        ({}, True),  # no browser
        ({b"sec-fetch-site": b"same-origin"}, True),
        ({b"sec-fetch-site": b"cross-site"}, False),
        ({b"sec-fetch-site": b"same-site"}, False),
        ({b"sec-fetch-site": b"none"}, False),
        ({b"referer": b"https://shop.example/cart?a=b"}, True),
        ({b"referer": b"https://www.shop.example", b"sec-fetch-site": b"cross-site"}, True),
        ({b"referer": b"https://evil.example/https://shop.example/"}, False),
        ({b"referer": b"https://evil.example/", b"sec-fetch-site": b"same-origin"}, False),
        ({b"origin": b"https://evil.example", b"referer": b"https://shop.example/"}, False),
        ({b"origin": b"null", b"referer": b"https://shop.example/"}, False),
    ],
)
def test_a_browser_without_an_origin_says_its_page_otherwise(headers: dict[bytes, bytes], is_allowed: bool) -> None:
    assert (foreign_origin(ALLOWED, headers) == "") is is_allowed


def test_what_a_source_lists_may_be_null() -> None:
    assert foreign_origin(("null",), {b"origin": b"null"}) == ""


@given(st.text(max_size=60), st.binary(max_size=60))
def test_any_bytes_have_an_answer(setting: str, origin: bytes) -> None:
    foreign_origin((setting, *ALLOWED), {b"origin": origin})
    foreign_origin((setting, *ALLOWED), {b"referer": origin})


@given(st.from_regex(r"https?://(\*\.)?[a-zA-Z0-9äöüß-]{1,20}(\.[a-z]{2,5}){1,2}\.?(:[0-9]{1,5})?/?", fullmatch=True))
def test_the_one_form_of_an_origin_is_its_own(text: str) -> None:
    website = website_of(text)
    if website is not None:
        assert website_of(origin_text(website)) == website
