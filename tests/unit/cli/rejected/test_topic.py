"""Rejected events as the commands about them read them: ids, filters, outcomes, and what cannot be replayed."""

from typing import Any

import pytest

from throughline.cli.rejected.scan import why_not_replayable
from throughline.cli.rejected.topic import (
    Filters,
    RecordId,
    decode_outcomes,
    encode_outcomes,
    source_of,
)
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.stages import RejectionStage
from throughline.wire.codec import Envelope, Rejected, decode_rejected, encode

NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z


def refused(**fields: Any) -> Rejected:
    values = {"workspace": 3, "source": 5, "received_us": NOW, "stage": "ingest", "code": "missing_field", "field": "f"}
    return Rejected(**{**values, "message": "why", "payload": b"{}", "envelope": Envelope("/v1/track"), **fields})


def test_an_id_is_partition_and_offset() -> None:
    assert RecordId.parse(str(RecordId(3, 1207))) == RecordId(3, 1207)
    for text in ("", "3", "3/", "/7", "a/b", "3/-1", "touchpoints.rejected/3/7"):
        with pytest.raises(ValueError, match="PARTITION/OFFSET"):
            RecordId.parse(text)


@pytest.mark.parametrize(
    ("filters", "fields"),
    [
        (Filters(sources={4}), {}),
        (Filters(stage="stager"), {}),
        (Filters(code="missing_id"), {}),
        (Filters(since_us=NOW + 1), {}),
        (Filters(until_us=NOW), {}),
        (Filters(), {"replay_of": "touchpoints.rejected/0/1"}),
    ],
)
def test_an_event_is_selected_by_every_filter(filters: Filters, fields: dict[str, Any]) -> None:
    assert Filters({5, 6}, "ingest", "missing_field", NOW, NOW + 1).select(refused())
    assert not filters.select(refused(**fields))


def test_a_record_that_stager_refused_says_itself_whose_it_is() -> None:
    about: dict[str, Any] = dict.fromkeys(
        ("user_id", "anonymous_id", "previous_id", "order_id", "currency", "name"), ""
    )
    about |= dict.fromkeys(("value", "rating", "score", "quantity")) | {"product_id": "", "warnings": (), "rest": "{}"}
    about |= {"occurred_us": NOW, "received_us": NOW, "client_us": 0, "place": 0, "call": "page", "channel": "direct"}
    payload = encode(Touchpoint(actor="ada", message_id="m", workspace=3, source=8, **about))
    assert source_of(refused(stage="stager", workspace=0, source=0, payload=payload)) == 8
    assert source_of(refused(stage="stager", workspace=0, source=0, payload=b"\xff")) == 0
    assert source_of(refused(source=0, payload=payload)) == 0


def test_what_became_of_them_there_and_back() -> None:
    outcomes = {RecordId(0, 12): "ok", RecordId(3, 7): "missing_field"}
    record = decode_rejected(encode_outcomes(outcomes, NOW))
    assert (record.stage, record.workspace, record.source) == (RejectionStage.REPLAY, 0, 0)
    assert decode_outcomes(record) == outcomes
    assert not Filters({5}).select(record)
    # Nobody who sends events can say so: ingest writes none of this stage.
    assert decode_outcomes(record._replace(stage="ingest")) == {}
    for payload in (b"", b"[]", b"5", b'{"x": "ok"}', b"\xff"):
        assert decode_outcomes(record._replace(payload=payload)) == {}


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({}, ""),
        ({"stage": "stager", "envelope": Envelope(), "payload": b"\x08\x01"}, ""),
        ({"stage": "consent", "payload": b""}, "without consent"),
        ({"payload": b""}, "without consent"),
        ({"envelope": Envelope()}, "not kept"),
        ({"code": "mixed_app_ids"}, "another app"),
    ],
)
def test_what_cannot_be_sent_again_is_known_before(fields: dict[str, Any], reason: str) -> None:
    answer = why_not_replayable(refused(**fields))
    assert (reason in answer) if reason else not answer
