"""Whatever the seed and the pace, the demo shop sends what ingest can take."""

from itertools import islice
from random import Random

from hypothesis import given
from hypothesis import strategies as st
from segment.analytics.client import Client

from services.ingest.event.ids import clean_id
from services.ingest.event.verdict import MAX_EVENT_BYTES, MAX_MESSAGE_ID, MAX_TEXT
from throughline.demo.shop import stream
from throughline.kit.clock import to_us

seeds = st.integers(0, 2**32)
starts = st.integers(0, 4_000_000_000_000_000)
paces = st.lists(st.integers(0, 5_000_000), min_size=1, max_size=20)


@given(seed=seeds, start_us=starts, paces=paces, at_once=st.integers(1, 100))
def test_ids_are_legal_and_times_never_ahead_of_the_clock(
    seed: int, start_us: int, paces: list[int], at_once: int
) -> None:
    now_us = start_us
    readings = 0

    def clock() -> int:
        nonlocal now_us, readings
        now_us += paces[readings % len(paces)]
        readings += 1
        return now_us

    last, message_ids = start_us, []
    for event in islice(stream(Random(seed), clock, at_once=at_once), 200):
        arguments = event.arguments
        assert last <= to_us(arguments["timestamp"]) <= now_us
        last = to_us(arguments["timestamp"])
        ids = [arguments[name] for name in ("user_id", "anonymous_id") if name in arguments]
        assert ids
        assert [clean_id(each) for each in ids] == ids
        assert all(len(each) <= MAX_TEXT for each in ids)
        assert len(arguments["message_id"]) <= MAX_MESSAGE_ID
        message_ids.append(arguments["message_id"])
    assert message_ids == sorted(set(message_ids))


@given(seed=seeds)
def test_the_sdk_takes_every_call(seed: int) -> None:
    client = Client("key", send=False)
    for event in islice(stream(Random(seed), lambda: 1_793_000_000_000_000), 300):
        _, message = getattr(client, event.method)(**event.arguments)
        assert len(str(message)) < MAX_EVENT_BYTES
