"""Guards: conditions on a customer's history. A phase model names them; their meanings stand here."""

from collections.abc import Callable

from throughline.journey.memory import NO_ID, Memory
from throughline.journey.touchpoint import Touchpoint

Guard = Callable[[Memory, Touchpoint, int], bool]
"""Whether a rule may place a touchpoint: asked with the memory, in which the touchpoint's own order stands already, the
touchpoint, and the phase of the cycle so far."""

WELL_RATED = 4.0
PROMOTER_SCORE = 9.0


def first_page(memory: Memory, _: Touchpoint, __: int) -> bool:
    """Holds for the first page, screen or session of the cycle."""
    return not memory.paged


def purchased(memory: Memory, _: Touchpoint, __: int) -> bool:
    """Holds when at least one order of the customer's lifetime stands: placed, not cancelled, not refunded in full."""
    return memory.standing > 0


def live_order(memory: Memory, touchpoint: Touchpoint, _: int) -> bool:
    """Holds when the order of the touchpoint stands."""
    return memory.stands(order_key(touchpoint))


def repeat_order(memory: Memory, touchpoint: Touchpoint, _: int) -> bool:
    """Holds when the order of the touchpoint stands and was placed after another that stands."""
    return memory.is_repeat(order_key(touchpoint))


def rated_well(_: Memory, touchpoint: Touchpoint, __: int) -> bool:
    """Holds for a rating of four stars or more."""
    return touchpoint.rating is not None and touchpoint.rating >= WELL_RATED


def promoter(_: Memory, touchpoint: Touchpoint, __: int) -> bool:
    """Holds for a net promoter score of 9 or 10."""
    return touchpoint.score is not None and touchpoint.score >= PROMOTER_SCORE


def before(number: int) -> Guard:
    """Returns the guard that holds until the customer reaches phase `number` in a cycle ("before NAME" in a model)."""

    def before_phase(_: Memory, __: Touchpoint, phase: int) -> bool:
        return phase < number

    return before_phase


def order_key(touchpoint: Touchpoint) -> str:
    """Returns the key of a touchpoint's order: its id, whoever reports it; without an id each event is an order."""
    return touchpoint.order_id or f"{NO_ID}{touchpoint.message_id}"


GUARDS: dict[str, Guard] = {
    guard.__name__: guard for guard in (first_page, purchased, live_order, repeat_order, rated_well, promoter)
}
