"""What the rules may ask of a customer's history. A model names guards; these are their meanings."""

from collections.abc import Callable

from throughline.journey.memory import Memory
from throughline.journey.touchpoint import Touchpoint

Guard = Callable[[Memory, Touchpoint, int], bool]
"""Asked with the phase of the cycle so far, after the touchpoint's own order has been noted in the memory."""

WELL_RATED = 4.0
PROMOTER_SCORE = 9.0


def first_page(memory: Memory, _: Touchpoint, __: int) -> bool:
    """The first page, screen or session of the cycle."""
    return not memory.paged


def purchased(memory: Memory, _: Touchpoint, __: int) -> bool:
    """At least one order of the customer's lifetime stands (placed, not cancelled, not refunded in full)."""
    return bool(memory.orders)


def live_order(memory: Memory, touchpoint: Touchpoint, _: int) -> bool:
    """The order of this touchpoint stands."""
    return order_key(touchpoint) in memory.orders


def repeat_order(memory: Memory, touchpoint: Touchpoint, _: int) -> bool:
    """The order of this touchpoint stands and was placed after another that stands."""
    orders = memory.orders
    key = order_key(touchpoint)
    return len(orders) > 1 and next(iter(orders)) != key and key in orders


def rated_well(_: Memory, touchpoint: Touchpoint, __: int) -> bool:
    """A rating of four stars or more."""
    return touchpoint.rating is not None and touchpoint.rating >= WELL_RATED


def promoter(_: Memory, touchpoint: Touchpoint, __: int) -> bool:
    """A net promoter score of 9 or 10."""
    return touchpoint.score is not None and touchpoint.score >= PROMOTER_SCORE


def before(number: int) -> Guard:
    """A guard that holds while the customer has not reached phase `number` in this cycle ("before NAME" in a model)."""

    def before_phase(_: Memory, __: Touchpoint, phase: int) -> bool:
        return phase < number

    return before_phase


def order_key(touchpoint: Touchpoint) -> str:
    """Under which an order is counted: its id whoever reports it; without one, the event is an order of its own."""
    return touchpoint.order_id or f"\x1f{touchpoint.message_id}"


GUARDS: dict[str, Guard] = {
    guard.__name__: guard for guard in (first_page, purchased, live_order, repeat_order, rated_well, promoter)
}
