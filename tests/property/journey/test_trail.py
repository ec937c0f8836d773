"""Trails: what the laws of the fold (`test_fold.py`) do not reach."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.touchpoints import DAY_US, MODELS, START_US, customer_logs, foldable, watermarks
from throughline.journey.fold import fold
from throughline.journey.state import Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import MAX_KINDS, SEPARATOR, Opening, follow, opening_of, read
from throughline.models import load_model

MODEL = load_model("seven_phase")
MINUTE_US = 60_000_000
texts = st.one_of(st.text(max_size=5), st.sampled_from(["", "a" * 300, f"x{SEPARATOR}y", "\0", "\ud800"]))


def event(minutes: int, name: str, attribution: str = "") -> Touchpoint:
    return Touchpoint(START_US + minutes * MINUTE_US, 0, f"m{minutes}", "ada", "track", name, attribution=attribution)


@given(name=st.sampled_from(MODELS), data=st.data(), events=customer_logs())
def test_a_trail_changes_nothing_else(name: str, data: st.DataObject, events: list[Touchpoint]) -> None:
    model, todo, watermark_us = load_model(name), foldable(events), data.draw(watermarks(events))
    plain, followed = fold(model, None, todo, watermark_us), fold(model, None, todo, watermark_us, follow)
    assert [step[:10] for step in followed.transitions] == [step[:10] for step in plain.transitions]
    assert {step[10:] for step in plain.transitions} <= {(0, 0, "", "", "")}
    assert (plain.journey is None) is (followed.journey is None)
    if followed.journey is not None:
        assert followed.journey._replace(trail="") == plain.journey


@given(facts=st.recursive(st.none() | st.integers() | texts, lambda inner: st.dictionaries(texts, inner)), raw=texts)
def test_an_opening_is_of_texts_that_can_be_stored(facts: object, raw: str) -> None:
    named = {"campaign": facts, "device": {"type": facts}}
    for attribution in (json.dumps(facts), json.dumps(named), raw, "[" * 9_999):
        for text in opening_of(attribution):
            assert len(text) <= 200
            assert SEPARATOR not in text
            assert "\0" not in text
            text.encode()


def test_a_path_ends_after_so_many_kinds() -> None:
    events = [event(n, ("product_view", "add_to_cart")[n % 2]) for n in range(3 * MAX_KINDS)]
    whole = fold(MODEL, None, events, follow=follow).journey
    assert whole is not None
    trail = read(whole.trail)
    assert trail.path == ",".join(["browse", "cart_added"] * (MAX_KINDS // 2))
    assert trail.last_kinds == "cart_added,browse,cart_added"
    half = fold(MODEL, fold(MODEL, None, events[:50], follow=follow).journey, events[50:], follow=follow)
    assert half.journey == whole


def test_an_opening_is_of_one_visit() -> None:
    letter, phone = '{"campaign":"letter"}', '{"campaign":"spring","device":{"type":"mobile"}}'
    told: list[Transition] = []
    for gap in (10, 40):
        journey = fold(MODEL, None, [event(0, "Coffee Spilled", letter)], follow=follow).journey
        folded = fold(MODEL, journey, [event(gap, "product_view", phone), event(gap + 1, "add_to_cart")], follow=follow)
        assert len({step[12:14] for step in folded.transitions}) == 1
        told.append(folded.transitions[-1])
    assert [step[12:14] for step in told] == [("mobile", "letter"), ("mobile", "spring")]
    assert told[0].kinds == f"?,{MODEL.names['productview'].name}"
    assert opening_of(phone) == Opening("mobile", "spring")


def test_a_return_has_the_path_of_the_cycle_before() -> None:
    later = 100 * DAY_US // MINUTE_US
    events = [event(0, "product_view"), event(1, "product_view"), event(2, "add_to_cart"), event(later, "purchase")]
    folded = fold(MODEL, None, events, follow=follow)
    *_, lapse, back = folded.transitions
    assert (lapse.since_us, lapse.active_us, lapse.kinds) == (events[2][0], events[2][0], "browse,browse,cart_added")
    assert (back.since_us, back.kinds) == (START_US, "browse,cart_added")
    assert folded.journey is not None
    assert read(folded.journey.trail).path == "order"
