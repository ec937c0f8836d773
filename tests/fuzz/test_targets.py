"""The fuzzers' targets hold for their seeds, for the corpus, and for the largest bodies.

`make fuzz` searches for a minute each, `make test-deep` for a quarter of an hour.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from services.ingest.event.verdict import MAX_BODY_BYTES, MAX_EVENTS
from tests.fuzz.mutate import mutated
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS, bounded
from throughline.models.document import MAX_BYTES

EVENT = b'{"type":"track","event":"E","userId":"u"%s}'
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_what_they_begin_with(target: str) -> None:
    for number, seed in enumerate(seeds(target)):
        TARGETS[target](seed)
        if target == "ingest":
            for other in range(10):
                TARGETS[target](mutated(seed, 10 * number + other) or b"")


def filled(start: bytes, part: Callable[[int], bytes], end: bytes, *, most: int = MAX_EVENTS) -> bytes:
    """As many parts, with commas between them, as fit into a body."""
    parts: list[bytes] = []
    room = MAX_BODY_BYTES - len(start) - len(end)
    while len(parts) < most and room > len(next_part := part(len(parts))):
        parts.append(next_part)
        room -= len(next_part) + 1
    return start + b",".join(parts) + end


def batch(part: Callable[[int], bytes], name: bytes = b"batch", end: bytes = b"]}") -> bytes:
    return filled(b'{"' + name + b'":[', part, end)


def largest() -> Iterable[tuple[str, str, bytes]]:
    """(name, head of the request, body as large as allowed)."""
    many = 10**9
    yield "empty events", "POST /v1/batch", batch(lambda _: b"{}")
    yield "keys", "POST /v1/batch", batch(lambda n: EVENT % b"".join(b',"%d":1' % (20 * n + k) for k in range(20)))
    yield "agents", "POST /v1/batch", batch(lambda n: EVENT % (b',"context":{"userAgent":"%d %s"}' % (n, b"a" * 90)))
    yield "pages", "POST /v1/batch", batch(lambda n: EVENT % (b',"context":{"page":{"referrer":"//%d"}}' % n))
    yield "no ids", "POST /v1/batch", batch(lambda n: EVENT % (b',"timestamp":"2026-01-01","properties":{"a":%d}' % n))
    yield "deep", "POST /v1/batch", batch(lambda _: b'{"a":' + b"[" * 390 + b"]" * 390 + b"}")
    yield "long key", "POST /v1/batch", b'{"batch":[{"' + b"k" * 200_000 + b'":[' + b"0," * 150_000 + b"NaN]}]}"
    yield "addresses", "POST /v1/track", b'{"x":NaN,"ip":"' + b'\\"' * 250_000 + b'"}'
    yield "no address", "POST /v1/track", b'{"x":NaN,' + b'"ip" ' * 100_000 + b"}"
    yield "digits", "POST /v1/track", filled(b'{"userId":1,"x":[', lambda _: b"9" * 4300, b"]}", most=many)
    yield "fractions", "POST /v1/track", filled(b'{"userId":1,"x":[', lambda _: b"0." + b"9" * 9999, b"]}", most=many)
    yield "no JSON", "POST /v1/batch", b'{"batch":[' + b'"\\' * 250_000
    yield (
        "contexts",
        "POST /com.snowplowanalytics.snowplow/tp2",
        batch(
            lambda _: b'{"e":"pv","uid":"u","cx":"%s"}' % base64.b64encode(b'{"data":[%s{}]}' % (b"[]," * 40)), b"data"
        ),
    )
    yield (
        "campaigns",
        "POST /com.snowplowanalytics.snowplow/tp2",
        batch(lambda n: b'{"e":"pv","uid":"u","url":"//a/?utm_source=%d&%s"}' % (n, b"a=1&" * 35), b"data"),
    )
    yield (
        "shared",
        "POST /mp/collect",
        filled(b'{"client_id":"a","x":"' + b"y" * 400_000 + b'","events":[', lambda _: b'{"name":"a"}', b"]}", most=25),
    )
    yield "form", "POST /e", b"data=" + b"&a=1" * 120_000
    yield "form key", "POST /e", b"a" * 400_000 + b"&data=e30="
    yield (
        "people",
        "POST /e",
        batch(lambda n: b'{"event":"e","distinct_id":"u%d","$set":{"a":1},"properties":{"$set_once":{"b":2}}}' % n),
    )
    yield "library", "POST /e\nposthog-sdk-info: " + "x" * 60_000, batch(lambda _: b'{"event":"e","distinct_id":"u"}')
    yield "bytes", "POST /v1/cloudevents\nce-specversion: 1.0\nce-type: a\nce-id: 1\nce-source: s", b"\xff" * 512_000
    yield (
        "versions",
        "POST /v1/cloudevents",
        filled(b"[", lambda n: b'{"specversion":"1.0","id":"%d","source":"s","type":"a%s"}' % (n, b".v1" * 40), b"]"),
    )
    yield "columns", "POST /v1/pos", filled(b"receipt,", lambda n: b"%d" % n, b"\n1", most=many)
    yield "quotes", "POST /v1/pos", b"receipt,a\n" + b'"\n' * 250_000
    yield "sales", "POST /v1/pos?anonymous=receipt", b"receipt,total,x\n" + b"1,-2.5,\n" * 60_000
    yield (
        "attributes",
        "POST /v1/shopify\nx-shopify-topic: orders/create",
        filled(b'{"id":1,"note_attributes":[', lambda n: b'{"name":"%d","value":1}' % n, b"]}", most=many),
    )
    yield (
        "items",
        "POST /v1/shopify\nx-shopify-topic: orders/create",
        filled(b'{"id":1,"line_items":[', lambda n: b'{"product_id":%d,"quantity":1}' % n, b"]}", most=many),
    )


@pytest.mark.parametrize(("head", "body"), [pytest.param(*case[1:], id=case[0]) for case in largest()])
def test_the_largest_bodies(head: str, body: bytes) -> None:
    assert len(body) <= MAX_BODY_BYTES
    bounded(head.encode() + b"\n\n" + body)


@pytest.mark.parametrize("part", [b"[[a]]\n", b"a.", b'"\\', b"a = [", b"[[phases]]\nname = 1\n", b"x = 1\n", b'a="""'])
def test_the_largest_model_files(part: bytes) -> None:
    TARGETS["model"](part * (MAX_BYTES // len(part)))


@pytest.mark.deep
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("target", sorted(TARGETS))
def test_a_quarter_of_an_hour(target: str, tmp_path: Path) -> None:
    """`make fuzz`, for longer."""
    command = [sys.executable, "-m", "tests.fuzz", target, "--seconds=900", f"--folder={tmp_path}"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=3600, check=False)
    assert done.returncode == 0, done.stderr[-5000:]
