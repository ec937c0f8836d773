"""The texts of a journey, which the fold writes without an encoder, are those that the plain way writes."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.touchpoints import MODELS, customer_logs, foldable, watermarks
from throughline.journey.fold import fold
from throughline.journey.memory import Memory
from throughline.journey.milestones import OPEN, Milestones, outcome_of
from throughline.journey.state import LAPSE, RETURN, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def _plain_dump(memory: Memory) -> str:
    counted = {
        "orphans": dict(sorted(memory.orphans.items())),
        "foreign": dict(sorted(memory.foreign.items())),
        "standing": memory.standing,
        "standing_before": memory.standing_before,
        "items_length": memory.items_length,
        "cart": dict(sorted(memory.cart.items())),
    }
    parts = {name: value for name, value in counted.items() if value}
    orders = {order: entry.dump() for order, entry in memory.orders.items()}
    if orders:
        return f"{_json(parts)}\n{_json(orders)}"
    return _json(parts) if parts else ""


@given(st.sampled_from(MODELS), customer_logs(), st.sampled_from(["", 'é"\\', "EUR"]))
def test_a_memory_is_written_as_json_is(name: str, events: list[Touchpoint], odd: str) -> None:
    renamed = [event._replace(order_id=event.order_id and event.order_id + odd, currency=odd) for event in events]
    journey = fold(load_model(name), None, foldable(renamed)).journey
    if journey is not None:
        memory = Memory.load(journey.memory, journey.flags)
        assert memory.dump() == journey.memory  # as it was read: with all orders unread
        assert journey.memory == _plain_dump(memory)
        assert memory.dump() == journey.memory  # and with all of them read


def _move(milestones: Milestones, transition: Transition) -> None:
    if transition.kind == LAPSE:
        milestones.outcome = outcome_of(transition)
        return
    if transition.kind == RETURN:
        milestones.entered.clear()
    milestones.outcome = OPEN
    milestones.entered[transition.to_phase] = transition.at_us
    for phase in range(milestones.highest + 1, transition.to_phase + 1):
        milestones.reached[phase] = transition.at_us


@given(st.sampled_from(MODELS), st.data(), customer_logs(), st.integers(0, 30))
def test_milestones_go_on_as_they_move(name: str, data: st.DataObject, events: list[Touchpoint], cut: int) -> None:
    model, ordered = load_model(name), foldable(events)
    before = fold(model, None, ordered[:cut], data.draw(watermarks(ordered[:cut])) if ordered[:cut] else 0)
    folded = fold(model, before.journey, ordered[cut:], data.draw(watermarks(ordered)) if ordered else 0)
    milestones = Milestones()
    for transition in before.transitions:
        _move(milestones, transition)
    if folded.revoked is not None:
        milestones.outcome = OPEN
    for transition in folded.transitions:
        _move(milestones, transition)
    if folded.journey is not None:
        assert folded.journey.milestones == milestones.dump()
