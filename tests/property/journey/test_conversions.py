"""The law of conversions: what changes of them is the difference of what two memories say, whichever these are."""

from itertools import pairwise

from hypothesis import given

from tests.strategies.touchpoints import logs
from throughline.journey.conversions import changed_conversions, conversions_of
from throughline.journey.fold import distinct, fold
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")


@given(logs(), logs())
def test_what_changes_is_the_difference_of_two_memories(log: list[Touchpoint], other: list[Touchpoint]) -> None:
    events = distinct(log)
    memories = [""]
    for count in range(1, len(events) + 1):
        journey = fold(MODEL, None, events[:count]).journey
        assert journey is not None
        memories.append(journey.memory)
    another = fold(MODEL, None, distinct(other)).journey
    memories.append("" if another is None else another.memory)
    memories += ['{"orders":{"1001":12.5}}', '{"cancelled":["1001"]}', ""]
    stored: dict[str, tuple[object, ...]] = {}
    for before, after in pairwise(memories):
        changed = changed_conversions(before, after)
        for order in changed.removed:
            del stored[order]
        assert all(stored.get(conversion.order) != conversion for conversion in changed.written)
        stored |= {conversion.order: conversion for conversion in changed.written}
        assert stored == {conversion.order: conversion for conversion in conversions_of(after)}
