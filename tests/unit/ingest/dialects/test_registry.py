"""What all dialects share: their names, their routes, and the rules made of their specs."""

from pathlib import Path

import pytest

from services.ingest import dialects
from services.ingest.dialects.base import ParsedRequest, ReplayRequest
from services.ingest.dialects.registry import ROUTES, RULES, SPECS, match_route, methods_of
from services.ingest.publish.rejected import rejected_records
from tests.support.dialect_requests import post, source, validated
from tests.support.laws import NOW


def test_every_package_is_a_dialect_that_is_named_as_it() -> None:
    packages = {path.parent.name for path in Path(dialects.__path__[0]).glob("*/__init__.py")}
    assert {spec.name for spec in SPECS} == packages
    assert len(SPECS) == len(packages)


def test_a_later_dialects_route_takes_an_earlier_ones_path() -> None:
    assert len({(route.method, route.path) for route in ROUTES}) == len(ROUTES)
    later = next(route for spec in reversed(SPECS) for route in spec.routes if route.path == "/batch")
    taken = match_route("POST", "/batch")
    assert taken is not None
    assert (taken.parse, taken.summary) == (later.parse, later.summary)


@pytest.mark.parametrize(
    ("path", "methods"), [("/v1/track", ["POST"]), ("/i", ["POST", "GET"]), ("/healthz", []), ("/v1/batch//", ["POST"])]
)
def test_methods_of_a_path(path: str, methods: list[str]) -> None:
    assert methods_of(path) == methods


@pytest.mark.parametrize("name", [name for spec in SPECS for name in spec.key_names])
def test_no_dialects_write_key_is_kept_around_a_rejected_event(name: str) -> None:
    rejected = match_route("POST", "/v1/batch")
    assert rejected is not None
    parsed = rejected.parse(post({"batch": [{}]}))
    request = ParsedRequest(
        "", parsed.events, replay_request=lambda: ReplayRequest("/x", member="batch", shared={name: "secret", "a": 1})
    )
    (record,) = rejected_records(validated(request), request, source(), RULES, NOW, "POST /x", ())
    assert (record.envelope.before, record.envelope.after) == (b'{"a":1,"batch":[', b"]}")


def test_the_addresses_of_every_dialect_are_shortened() -> None:
    names = {name for spec in SPECS for name in spec.address_members}
    assert set(RULES.address_members) == names >= {"ip", "$ip", "ip_override"}
    event = {"type": "track", **dict.fromkeys(names, "81.2.69.160")}
    route = match_route("POST", "/v1/batch")
    assert route is not None
    (rejected,) = validated(route.parse(post({"batch": [event]}))).rejected
    assert rejected.payload.count(b"81.2.69.0") == len(names)
    assert b"81.2.69.160" not in rejected.payload
