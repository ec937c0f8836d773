"""A quarter of a small shop, so that every view of the page has something to show.

Mobile customers met a fault at checkout for ten days; some customers lapse, some come back, some buy again.
"""

import json
import random
from collections.abc import Iterator

from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.journey.touchpoint import Touchpoint

DAYS = 90
FAULT_DAYS = range(30, 40)
"""Days before now on which the checkout failed on mobile."""
CHANNELS = {"direct": 5, "organic_search": 4, "paid_search": 4, "email": 3, "social": 2}
DEVICES = {"desktop": 5, "mobile": 6, "tablet": 1}


def customers(number: int, workspace: int, source: int, now_us: int) -> Iterator[tuple[str, list[Touchpoint]]]:
    """Yields each customer's id and touchpoints."""
    dice = random.Random(18)
    for each in range(number):
        name, at_us = f"customer-{each:05d}", now_us - dice.randrange(DAYS * DAY_US)
        channel, device = _drawn(dice, CHANNELS), _drawn(dice, DEVICES)
        fact = json.dumps({"device": {"type": device}, "campaign": {"name": f"{channel}-autumn"}})
        touchpoints: list[Touchpoint] = []
        for wait_us, step in _steps(dice, device, channel, (now_us - at_us) // DAY_US):
            at_us += wait_us
            if at_us > now_us:
                break
            place = len(touchpoints)
            event = Touchpoint(at_us, 0, f"{each}-{place}", name, "track", step, workspace, source, channel, at_us)
            order = f"o{each}-{place}" if step == "purchase" else ""
            value, currency = (10.0 + each % 90, "EUR") if order else (None, "")
            touchpoints.append(
                event._replace(user_id=name, order_id=order, value=value, currency=currency, attribution=fact)
            )
        yield name, touchpoints


def _drawn(dice: random.Random, weights: dict[str, int]) -> str:
    return dice.choices(list(weights), list(weights.values()))[0]


def _steps(dice: random.Random, device: str, channel: str, days_ago: int) -> Iterator[tuple[int, str]]:
    """Yields what a customer does, and how long after what it did before."""
    has_fault = device == "mobile" and days_ago in FAULT_DAYS
    keen = {"email": 1.35, "social": 0.6}.get(channel, 1.0)
    yield 0, "session_start"
    for visit in range(4):
        if dice.random() > 0.75 * keen:
            return
        yield MINUTE_US * dice.randint(1, 4), "product_view"
        if dice.random() < 0.55 * keen:
            yield MINUTE_US * dice.randint(1, 9), "add_to_cart"
            yield MINUTE_US * dice.randint(1, 5), "begin_checkout"
            if has_fault or dice.random() < 0.08:
                yield MINUTE_US, "payment_error"
            if dice.random() < (0.08 if has_fault else 0.62):
                yield MINUTE_US * dice.randint(1, 5), "purchase"
                if dice.random() < 0.7:
                    yield DAY_US * dice.randint(2, 5), "order_delivered"
                    if dice.random() < 0.3:
                        yield DAY_US, "share"
        is_away = dice.random() < 0.25 and not visit
        yield (DAY_US * dice.randint(35, 50) if is_away else HOUR_US * dice.randint(5, 120)), "session_start"
