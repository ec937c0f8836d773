"""A good event is kept, as the touchpoint it is alone, whatever stands beside it: on every path that takes batches.

The neighbours are bytes that only just are JSON: stray bytes, lone surrogates, NaN, names given twice, numbers that
nothing holds, nesting.
"""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.dialects.base import Request
from services.ingest.dialects.posthog.parse import RESULTS_PATH
from services.ingest.event.event import Event
from services.ingest.validate.request import Result
from tests.support.dialect_requests import parsed, validated
from tests.support.laws import check


class Path(NamedTuple):
    """Where batches are sent, and how."""

    path: str
    before: bytes
    after: bytes
    good: bytes
    """Has a place for a value of any kind."""
    fields: tuple[str, ...]
    comma: bytes = b","


SEGMENT = b'{"type":"track","event":"E", "userId":"good","timestamp":"2026-11-23T20:00:00Z","properties":{"x":%s}}'
POSTHOG = b'{"event":"E", "distinct_id":"good","timestamp":"2026-11-23T20:00:00Z","properties":{"x":%s}}'
SALE = b'{"receipt":"good", "customer":"c","sold_at":"2026-11-23T20:00:00Z","x":%s}'
OF_SEGMENT = Event.__struct_fields__
OF_POSTHOG = ("event", "distinct_id", "uuid", "timestamp", "offset", "properties", "$set", "options", "token")
OF_SALES = ("receipt", "customer", "total", "sold_at", "kind", "currency")
PATHS = [
    Path("/v1/batch", b'{"batch":[', b"]}", SEGMENT, OF_SEGMENT),
    Path("/v1/import", b'{"context":{"a":1},"sentAt":"2026-11-23T20:28:33Z","batch":[', b"]}", SEGMENT, OF_SEGMENT),
    Path("/beacon/v1/batch", b'{"batch":[', b"]}", SEGMENT, OF_SEGMENT),
    Path("/batch", b'{"api_key":"k","batch":[', b"]}", POSTHOG, OF_POSTHOG),
    Path("/e", b"[", b"]", POSTHOG, OF_POSTHOG),
    Path(RESULTS_PATH, b'{"batch":[', b"]}", POSTHOG, OF_POSTHOG),
    Path(
        "/com.snowplowanalytics.snowplow/tp2",
        b'{"schema":"s","data":[',
        b"]}",
        b'{"e":"ue", "uid":"good","dtm":"1795465653000","ue_pr":"{\\"data\\":{\\"schema\\":\\"iglu:a/b/\\",'
        b'\\"data\\":{\\"x\\":1}}}","x":"\\u00e9"}',
        ("e", "aid", "eid", "uid", "dtm", "ue_px", "ue_pr", "cx", "co", "url", "page", "ip"),
    ),
    Path(
        "/mp/collect",
        b'{"client_id":"c","events":[',
        b"]}",
        b'{"name":"good", "timestamp_micros":1795465653000000,"params":{"x":%s}}',
        ("name", "params", "timestamp_micros", "other"),
    ),
    Path(
        "/v1/cloudevents",
        b"[",
        b"]",
        b'{"specversion":"1.0", "id":"1","source":"s","type":"good","subject":"u","data":{"x":%s}}',
        ("specversion", "id", "source", "type", "subject", "time", "data", "data_base64", "userid"),
    ),
    Path("/v1/pos", b"[", b"]", SALE, OF_SALES),
    Path("/v1/pos", b'{"sales":[', b"]}", SALE, OF_SALES),
    Path("/v1/pos", b"", b"", SALE, OF_SALES, b"\n"),
]
STRINGS = st.binary(max_size=6).map(
    lambda noise: b'"%s"' % bytes(byte for byte in noise if byte >= 0x20 and byte not in b'"\\')
)
NUMBERS = st.integers().map(lambda number: b"%d" % number) | st.sampled_from([400, 4300, 4301]).map(lambda n: b"1" * n)
ODD = st.sampled_from(
    [
        b"null",
        b"true",
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"1E15",
        b"-0.0",
        b'""',
        b'"\\u0000"',
        b'"\\\\u0000"',
        b'"\\ud800"',
        b'"\\udc80"',
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"null"',
        b'"2026-11-23T20:00:00Z"',
        b'"9" ',
        *(b"[" * depth + b"]" * depth for depth in (10, 390, 400, 401, 600)),
        b'{"k":' * 300 + b"1" + b"}" * 300,
    ]
)
ATOMS = STRINGS | NUMBERS | ODD
VALUES = (
    b"1e15",
    b'"\\u00e9 \\/"',
    b'{"b" : [1.50, 1E2], "b": "\\ud83d\\ude00"}',
    b"9007199254740993",
    b"[" * 90 + b"]" * 90,
)


def broken(fields: tuple[str, ...]) -> st.SearchStrategy[bytes]:
    names = st.sampled_from([b'"%s"' % name.encode() for name in fields]) | STRINGS
    return st.recursive(
        ATOMS,
        lambda inner: (
            st.lists(inner, max_size=3).map(lambda parts: b"[" + b",".join(parts) + b"]")
            | st.lists(st.tuples(names, inner), max_size=5).map(
                lambda pairs: b"{" + b",".join(name + b":" + value for name, value in pairs) + b"}"
            )
        ),
        max_leaves=6,
    )


def take(where: Path, events: list[bytes]) -> Result:
    body = where.before + where.comma.join(events) + where.after
    result = validated(parsed(Request("POST", where.path, "", [], body)))
    check(result, len(events))
    return result


@pytest.mark.parametrize("where", PATHS, ids=lambda where: f"{where.path} {where.before.decode()[:12]}")
@given(st.data())
def test_a_good_event_is_what_it_is_alone(where: Path, data: st.DataObject) -> None:
    value = data.draw(st.sampled_from(VALUES))
    good = where.good % value if b"%s" in where.good else where.good
    around = [data.draw(st.lists(broken(where.fields), max_size=2)) for _ in range(2)]
    if where.comma == b"\n" and around[0]:
        # By its first line a body is known to be lines of JSON.
        around[0][0] = b'{"x":' + around[0][0] + b"}"
    (alone,) = take(where, [good]).touchpoints
    result = take(where, [*around[0], good, *around[1]])
    assert result.verdicts[len(around[0])] is None
    accepted = [verdict is None or verdict.status == "warning" for verdict in result.verdicts]
    assert result.touchpoints[sum(accepted[: len(around[0])])] == alone._replace(place=len(around[0]))
