"""What the api makes of rows, and the small parts around it, without a database."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request

from services.api.dashboard.page import is_this_machine
from services.api.journeys.answers import as_sent, names_of, stays
from services.api.live.cache import Cache
from services.api.phases.answers import Snapshot, Sums, names_same_state, snapshot
from services.api.shared.cursors import CustomerCursor, TouchpointCursor, decode_cursor, encode_cursor
from throughline.journey.state import ENTER, LAPSE, RETURN, Transition
from throughline.kit.errors import ServiceError
from throughline.models import load_model

MODEL = load_model("seven_phase")
SECOND_US = 1_000_000


def transition(at_s: int, came_from: int, to: int, cycle: int = 1, kind: int = ENTER) -> Transition:
    cause = ("", "", "abandoned") if kind == LAPSE else ("m", "user-1", "product_viewed")
    return Transition(at_s * SECOND_US, cause[0], cause[1], kind, came_from, to, cycle, "Product Viewed", cause[2])


def said(sums: dict[int, Sums], at_us: int | None = 1) -> Snapshot:
    return snapshot(MODEL, sums, as_of_us=at_us, applied_watermark_us=at_us)


def test_counts_add_up_and_name_every_phase() -> None:
    body = json.loads(said({0: Sums(active=3), 2: Sums(5, 2, 1, 9, 2, 4), 4: Sums(1, 0, 0, 1)}).body)
    assert body["model"] == "seven_phase"
    assert body["as_of"] == "1970-01-01T00:00:00.000001Z"
    assert (body["customers"], body["unplaced"]) == (8, 3)
    assert [phase["phase"] for phase in body["phases"]] == [phase.name for phase in MODEL.phases]
    assert body["phases"][1] == {
        "phase": "consideration", "now": 7, "active": 5, "lapsed": 2, "abandoned": 1, "churned": 1, "entered": 9,
        "left": 2, "returned": 4,
    }  # fmt: skip
    assert body["phases"][0]["now"] == 0


def test_the_etag_names_the_counts_and_not_the_time() -> None:
    first = said({1: Sums(1, 0, 0, 1)}, 1)
    later = said({1: Sums(1, 0, 0, 1)}, 2)
    other = said({1: Sums(0, 1, 0, 1)}, 2)
    assert first.etag == later.etag != other.etag
    assert first.body != later.body
    assert json.loads(said({}, None).body)["as_of"] is None


@pytest.mark.parametrize("header", ['W/"a1"', '"a1"', "a1", 'W/"b2", W/"a1"', "*"])
def test_a_tag_is_recognised_however_it_is_written(header: str) -> None:
    assert names_same_state(header, 'W/"a1"')


@pytest.mark.parametrize("header", ["", 'W/"b2"', '"a"', 'W/"a11"'])
def test_another_tag_is_not(header: str) -> None:
    assert not names_same_state(header, 'W/"a1"')


def test_stays_follow_the_transitions_and_the_open_one_counts_to_as_of() -> None:
    moves = [
        transition(0, 0, 1),
        transition(10, 1, 3),
        transition(40, 3, 3, kind=LAPSE),
        transition(70, 3, 3, cycle=2, kind=RETURN),
    ]
    found = stays(moves, names_of(MODEL), 100 * SECOND_US)
    assert [(stay["phase"], stay["cycle"], stay["seconds"], stay["lapsed_at"], stay["left_at"]) for stay in found] == [
        ("discovery", 1, 10.0, None, "1970-01-01T00:00:10Z"),
        ("decision", 1, 60.0, "1970-01-01T00:00:40Z", "1970-01-01T00:01:10Z"),
        ("decision", 2, 30.0, None, None),
    ]


@pytest.mark.parametrize("as_of_us", [None, 5 * SECOND_US])
def test_a_stay_is_never_negative(as_of_us: int | None) -> None:
    assert stays([transition(10, 0, 1)], names_of(MODEL), as_of_us)[0]["seconds"] == 0.0


def test_what_was_sent_comes_out_as_it_was() -> None:
    text = '{"properties":{"n":1e400,"n":2,"big":123456789012345678901234567890},"context":{"a":1}}'
    sent = as_sent(text)
    assert bytes(sent["properties"]) == text.encode()[len('{"properties":') : -len(',"context":{"a":1}}')]
    assert {name: bytes(raw) for name, raw in sent["rest"].items()} == {"context": b'{"a":1}'}
    assert bytes(as_sent('{"traits":{"plan":"pro"}}')["properties"]) == b'{"plan":"pro"}'
    assert as_sent("{}") == {"properties": {}, "rest": {}}
    assert as_sent('{"s":"\\ud800"}') == {"properties": {}, "rest": '{"s":"\\ud800"}'}
    assert as_sent("not json") == {"properties": {}, "rest": "not json"}


@given(st.integers(-(2**63), 2**63 - 1), st.text(st.characters(exclude_characters="\0", codec="utf-8")), st.binary())
def test_cursors_come_back_as_they_went(occurred_us: int, message_id: str, actor: bytes) -> None:
    cursor = TouchpointCursor(occurred_us, message_id, actor)
    assert decode_cursor(TouchpointCursor, encode_cursor(cursor)) == cursor


@given(st.text())
def test_any_other_text_is_a_bad_cursor(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        decode_cursor(CustomerCursor, text)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "bad_cursor", "cursor")


def test_a_cursor_of_another_list_is_a_bad_cursor() -> None:
    with pytest.raises(ServiceError, match="cursor"):
        decode_cursor(CustomerCursor, encode_cursor(TouchpointCursor(1, "m", b"a")))


async def test_many_askers_share_one_load_and_a_late_one_asks_again() -> None:
    now = 0.0
    loads = 0

    async def load(key: str) -> int:
        nonlocal loads
        loads += 1
        await asyncio.sleep(0)
        return loads

    cache = Cache(load, seconds=0.25, clock=lambda: now)
    assert await asyncio.gather(*(cache.get("a") for _ in range(50))) == [1] * 50
    now = 0.24
    assert await cache.get("a") == 1
    now = 0.25
    assert await cache.get("a") == 2
    assert await cache.get("b") == 3


async def test_a_failure_reaches_its_askers_and_is_not_kept() -> None:
    answers: list[Any] = [OSError("away"), "here"]

    async def load(_: str) -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return str(answer)

    cache = Cache(load, seconds=60)
    found = await asyncio.gather(cache.get("a"), cache.get("a"), return_exceptions=True)
    assert [type(one) for one in found] == [OSError, OSError]
    assert await cache.get("a") == "here"


async def test_an_asker_who_leaves_takes_nothing_from_the_others() -> None:
    go = asyncio.Event()

    async def load(_: str) -> str:
        await go.wait()
        return "here"

    cache = Cache(load, seconds=60)
    leaving, staying = asyncio.create_task(cache.get("a")), asyncio.create_task(cache.get("a"))
    await asyncio.sleep(0)
    leaving.cancel()
    go.set()
    assert await staying == "here"


async def test_invented_keys_do_not_grow_memory() -> None:
    async def load(key: int) -> int:
        return key

    cache = Cache(load, seconds=60, size=8)
    for key in range(1000):
        assert await cache.get(key) == key
    assert len(cache) == 8


def asked_from(host: str, peer: str = "127.0.0.1", **headers: str) -> Request:
    named = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Request(
        {
            "type": "http",
            "method": "GET",
            "scheme": "http",
            "path": "/page-config.json",
            "query_string": b"",
            "server": ("127.0.0.1", 8080),
            "client": (peer, 50000),
            "headers": [(name.encode(), value.encode()) for name, value in named.items()],
        }
    )


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("localhost:8080"),
        asked_from("127.0.0.1"),
        asked_from("[::1]:8080", peer="::1"),
        asked_from("LOCALHOST:8080", peer="::ffff:127.0.0.1", sec_fetch_site="same-origin"),
        asked_from("localhost:8080", origin="http://localhost:8080"),
    ],
)
def test_the_page_on_this_machine_gets_the_token(request_: Request) -> None:
    assert is_this_machine(request_)


@pytest.mark.parametrize(
    "request_",
    [
        asked_from("rebound.example:8080"),
        asked_from("localhost.example"),
        asked_from("localhost@rebound.example"),
        asked_from(""),
        asked_from("localhost:8080", peer="192.0.2.7"),
        asked_from("localhost:8080", x_forwarded_for="192.0.2.7"),
        asked_from("localhost:8080", sec_fetch_site="cross-site"),
        asked_from("localhost:8080", sec_fetch_site="same-site"),
        asked_from("localhost:8080", origin="http://localhost:3000"),
    ],
)
def test_nobody_else_does(request_: Request) -> None:
    assert not is_this_machine(request_)
