"""What the commands about refused events read: times, ids, which records are meant, what became of those sent again."""

from typing import Any

import pytest

from throughline.cli.rejected.scan import hindrance
from throughline.cli.rejected.topic import (
    Wanted,
    encode_outcomes,
    outcomes_of,
    parse_id,
    parse_instant,
    show_id,
    source_of,
)
from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import REPLAY, Envelope, Rejected, decode_rejected, encode

NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z
HOUR = 3_600_000_000


def refused(**said: Any) -> Rejected:
    values = {"workspace": 3, "source": 5, "received_us": NOW, "stage": "ingest", "code": "missing_field", "field": "f"}
    return Rejected(**{**values, "message": "why", "payload": b"{}", "envelope": Envelope("/v1/track"), **said})


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("90s", NOW - 90_000_000),
        ("2h", NOW - 2 * HOUR),
        ("7d", NOW - 7 * 24 * HOUR),
        ("2026-11-23T20:28:33", NOW),
        ("2026-11-23T21:28:33+01:00", NOW),
        ("2026-11-23", NOW - 20 * HOUR - 28 * 60_000_000 - 33_000_000),
    ],
)
def test_an_instant_is_a_span_before_now_or_a_time(text: str, instant: int) -> None:
    assert parse_instant(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "-2h", "2h ago"])
def test_what_is_neither_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="neither a span such as"):
        parse_instant(text, NOW)


def test_an_id_is_partition_and_offset() -> None:
    assert parse_id(show_id((3, 1207))) == (3, 1207)
    for text in ("", "3", "3/", "/7", "a/b", "3/-1", "touchpoints.rejected/3/7"):
        with pytest.raises(ValueError, match="PARTITION/OFFSET"):
            parse_id(text)


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        (Wanted(sources={4}), {}),
        (Wanted(stage="stager"), {}),
        (Wanted(code="missing_id"), {}),
        (Wanted(since_us=NOW + 1), {}),
        (Wanted(until_us=NOW), {}),
        (Wanted(), {"replay_of": "touchpoints.rejected/0/1"}),
    ],
)
def test_every_part_of_what_is_wanted_has_to_hold(wanted: Wanted, said: dict[str, Any]) -> None:
    assert Wanted({5, 6}, "ingest", "missing_field", NOW, NOW + 1)(refused())
    assert not wanted(refused(**said))


def test_a_record_that_stager_refused_says_itself_whose_it_is() -> None:
    about: dict[str, Any] = dict.fromkeys(
        ("user_id", "anonymous_id", "previous_id", "order_id", "currency", "name"), ""
    )
    about |= dict.fromkeys(("value", "rating", "score", "quantity")) | {"product_id": "", "warnings": (), "rest": "{}"}
    about |= {"occurred_us": NOW, "received_us": NOW, "client_us": 0, "call": "page", "channel": "direct"}
    payload = encode(Touchpoint(actor="ada", message_id="m", workspace=3, source=8, **about))
    assert source_of(refused(stage="stager", workspace=0, source=0, payload=payload)) == 8
    assert source_of(refused(stage="stager", workspace=0, source=0, payload=b"\xff")) == 0
    assert source_of(refused(source=0, payload=payload)) == 0


def test_what_became_of_them_there_and_back() -> None:
    outcomes = {(0, 12): "ok", (3, 7): "missing_field"}
    record = decode_rejected(encode_outcomes(outcomes, NOW))
    assert (record.stage, record.workspace, record.source) == (REPLAY, 0, 0)
    assert outcomes_of(record) == outcomes
    assert not Wanted({5})(record)
    # Nobody who sends events can say so: ingest writes none of this stage.
    assert outcomes_of(record._replace(stage="ingest")) == {}
    for payload in (b"", b"[]", b"5", b'{"x": "ok"}', b"\xff"):
        assert outcomes_of(record._replace(payload=payload)) == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ({}, ""),
        ({"stage": "stager", "envelope": Envelope(), "payload": b"\x08\x01"}, ""),
        ({"stage": "consent", "payload": b""}, "without consent"),
        ({"payload": b""}, "without consent"),
        ({"envelope": Envelope()}, "not kept"),
        ({"code": "mixed_app_ids"}, "another app"),
    ],
)
def test_what_cannot_be_sent_again_is_known_before(said: dict[str, Any], why: str) -> None:
    found = hindrance(refused(**said))
    assert (why in found) if why else not found
