"""Jitsu: what differs from Segment is where the key and the call stand."""

import json
from typing import Any

import pytest

from services.ingest.dialects.base import ParsedRequest, Request
from tests.support.dialect_requests import parsed, validated


def request(path: str, body: Any, *headers: tuple[bytes, bytes]) -> ParsedRequest:
    return parsed(Request("POST", path, "", headers, json.dumps(body).encode()))


@pytest.mark.parametrize("path", ["/api/s/page", "/api/s/s2s/page"])
def test_the_path_names_the_call(path: str) -> None:
    event = {"type": "page", "name": "Home", "anonymousId": "a", "messageId": "m", "writeKey": "k:***"}
    body = request(path, event, (b"x-write-key", b"k:secret"))
    assert body.write_key == "k:secret"
    (touchpoint,) = validated(body).touchpoints
    assert (touchpoint.call, touchpoint.name, touchpoint.anonymous_id) == ("page", "Home", "a")


def test_without_the_header_the_key_is_that_of_the_body() -> None:
    event = {"event": "Product Viewed", "userId": "ada", "messageId": "m1", "writeKey": "k:***"}
    assert request("/api/s/track", event).write_key == "k:***"
