"""The laws that hold for the events of any request."""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from typing import ParamSpec, TypeVar

from services.ingest.event.event import CALLS
from services.ingest.event.ids import clean_id
from services.ingest.event.verdict import MAX_EVENT_BYTES, MAX_EVENTS, MAX_MESSAGE_ID, MAX_TEXT
from services.ingest.publish.batcher import MAX_BATCH_BYTES
from services.ingest.validate.request import Result
from services.ingest.validate.touchpoint import MAX_RESTS, MAX_SHARED, SMALL_REST
from throughline.kit.clock import MAX_US, MIN_US
from throughline.kit.errors import ServiceError
from throughline.wire.codec import (
    Rejected,
    Touchpoint,
    decode,
    decode_rejected,
    encode,
    encode_rejected,
)

MOST_KEPT = MAX_SHARED + MAX_RESTS + MAX_EVENTS * SMALL_REST
NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z


P = ParamSpec("P")
T = TypeVar("T")


def attempt(parse: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    """What `parse` returns. None when it refuses the request as a whole, which must be a 400 with code and message."""
    try:
        return parse(*args, **kwargs)
    except ServiceError as failure:
        error = failure
    assert error.status == 400
    assert error.code
    assert error.message
    return None


def check(result: Result, events: int, records: Sequence[Rejected] | None = None) -> None:
    """There is a verdict for each event; Kafka and PostgreSQL can hold its touchpoints, Kafka its rejected events.

    `records` are those of the rejected and dropped events; without them they are built here.
    """
    numbers = [len(part) for part in (result.touchpoints, result.rejected, result.dropped)]
    assert len(result.verdicts) == events == sum(numbers)
    for what, number in (("rejected", numbers[1]), ("dropped", numbers[2])):
        assert number == sum(verdict is not None and verdict.status == what for verdict in result.verdicts)
    for touchpoint in result.touchpoints:
        check_touchpoint(touchpoint)
    assert sum(len(touchpoint.rest) for touchpoint in result.touchpoints) <= MOST_KEPT
    for event in result.rejected:
        assert event.verdict.code
        assert event.verdict.message
    if records is None:
        records = [Rejected(1, 1, NOW, "ingest", *event.verdict[1:4], event.payload) for event in result.rejected]
    for record in records:
        check_record(record)


def check_record(record: Rejected) -> None:
    """Kafka can hold the rejected event."""
    value = encode_rejected(record)
    assert decode_rejected(value) == record
    assert len(value) < MAX_BATCH_BYTES
    assert record.code


def check_touchpoint(touchpoint: Touchpoint, now_us: int = NOW) -> None:
    """Kafka and PostgreSQL can hold the touchpoint."""
    value = encode(touchpoint)
    assert decode(value) == touchpoint
    assert len(value) < MAX_BATCH_BYTES
    assert touchpoint.call in CALLS
    assert touchpoint.actor
    for text in (touchpoint.actor, touchpoint.user_id, touchpoint.anonymous_id, touchpoint.previous_id):
        assert clean_id(text) == text
    assert touchpoint.message_id == clean_id(touchpoint.message_id)
    assert 0 < len(touchpoint.message_id) <= MAX_MESSAGE_ID
    assert MIN_US <= touchpoint.occurred_us <= now_us
    assert MIN_US <= touchpoint.client_us <= MAX_US
    for text in (
        touchpoint.actor,
        touchpoint.user_id,
        touchpoint.anonymous_id,
        touchpoint.previous_id,
        touchpoint.name,
        touchpoint.channel,
        touchpoint.order_id,
        touchpoint.currency,
        touchpoint.product_id,
    ):
        assert len(text) <= MAX_TEXT
        assert "\0" not in text
    assert "\0" not in touchpoint.message_id
    for number in (touchpoint.value, touchpoint.rating, touchpoint.score, touchpoint.quantity):
        assert number is None or math.isfinite(number)
    assert len(touchpoint.attribution) < MAX_EVENT_BYTES
    for text in (touchpoint.rest, touchpoint.attribution or "{}"):
        value = json.loads(text)
        assert isinstance(value, dict)
        for part in _parts(value):
            if isinstance(part, str):
                assert "\0" not in part
                part.encode()
            else:
                assert math.isfinite(part)


def _parts(value: object) -> Iterator[str | float]:
    """All texts and numbers in a JSON value."""
    stack = [value]
    while stack:
        part = stack.pop()
        if isinstance(part, dict):
            stack.extend(part)
            stack.extend(part.values())
        elif isinstance(part, list):
            stack.extend(part)
        elif isinstance(part, str | float):
            yield part
