"""A shop of six customers whose numbers are worked out by hand: every figure of funnels and flows can be checked."""

from throughline.journey.durations import DAY_US
from throughline.journey.fold import fold
from throughline.journey.state import Journey, Transition
from throughline.journey.touchpoint import Touchpoint
from throughline.journey.trail import follow
from throughline.models import load_model

START_US = 20_000 * DAY_US
NOW_DAY = 60
"""The present is the start of this day; the first day is 0."""
NOW_US = START_US + NOW_DAY * DAY_US
DISCOVERY, CONSIDERATION, DECISION, PURCHASE, _, LOYALTY = range(1, 7)

_NAMES = {"discovery": "Session Start", "consideration": "Product Viewed", "decision": "Product Added"}
_CUSTOMERS = {
    "a": [(0, "discovery"), (1, "consideration"), (2, "decision"), (3, "order")],
    "b": [(0, "discovery"), (2, "decision")],
    "c": [(0, "discovery"), (40, "consideration")],
    "d": [(50, "discovery"), (51, "consideration")],
    "e": [(0, "consideration"), (1, "decision"), (1, "order"), (20, "order")],
    "f": [(55, "discovery"), (55, "decision")],
}
"""Customer -> (day, what it did)."""


def day_of(at_us: int) -> int:
    """The start of a day in UTC."""
    return at_us - at_us % DAY_US


def journeys() -> list[tuple[Journey, list[Transition]]]:
    """The journey of each customer under the seven phases, and its transitions."""
    results: list[tuple[Journey, list[Transition]]] = []
    for customer, steps in _CUSTOMERS.items():
        touchpoints = [
            Touchpoint(
                START_US + day * DAY_US,
                place,
                f"{customer}{place}",
                customer,
                "track",
                _NAMES.get(what, "Order Completed"),
                source=1,
                channel="web" if customer < "d" else "email",
                order_id=f"o{place}" if what == "order" else "",
            )
            for place, (day, what) in enumerate(steps)
        ]
        folded = fold(load_model("seven_phase"), None, touchpoints, NOW_US, follow)
        assert folded.journey is not None
        results.append((folded.journey, folded.transitions))
    return results
