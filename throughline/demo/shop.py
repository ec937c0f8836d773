"""The demo shop: an endless stream of SDK calls by made-up shoppers. Pure: randomness and clock are handed in."""

import heapq
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Literal, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from throughline.demo.catalogue import (
    CAMPAIGN_WEIGHTS,
    CAMPAIGNS,
    DEVICE_WEIGHTS,
    DEVICES,
    FIRST_NAMES,
    LAST_NAMES,
    Campaign,
    Device,
)
from throughline.demo.journeys import Method, Shopper, journey
from throughline.kit.clock import to_datetime

SHOPPERS_AT_ONCE = 40
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Habit = Literal["anonymous", "signed_in", "joins", "in_store"]
HABITS: tuple[Habit, ...] = ("anonymous", "signed_in", "joins", "in_store")
HABIT_WEIGHTS = (46, 36, 4, 14)
"""`joins`: anonymous until the checkout, signed in from then on: one customer under two ids that a link joins."""


class SdkCall(NamedTuple):
    """One call of the Segment SDK: the method and its keyword arguments."""

    method: Method
    arguments: dict[str, Any]


def stream(random: Random, clock: Callable[[], int], *, at_once: int = SHOPPERS_AT_ONCE) -> Iterator[SdkCall]:
    """Calls without end: the journeys of many shoppers, interleaved.

    Args:
        random: the source of every choice: the same state and the same clock give the same calls.
        clock: microseconds since the epoch. Each call carries the instant at which it is taken from the stream; the
            first reading is in every id, so that another run brings other shoppers.
        at_once: number of shoppers at the same time; a new one follows each whose journey ends.
    """
    run = _base36(clock() // 1000)
    # Compressed time only decides whose turn it is; the pace is the reader's.
    turns: list[Turn] = []
    shoppers = 0

    def admit(at: float) -> None:
        nonlocal shoppers
        shoppers += 1
        _queue_next_call(turns, at, shoppers, _shopper_calls(random, run, shoppers))

    for _ in range(at_once):
        admit(random.uniform(0, 60))
    message = 0
    while True:
        at, number, call, remaining_calls = heapq.heappop(turns)
        message += 1
        call.arguments["timestamp"] = to_datetime(clock())
        # Ids in alphabetical order: events of one shopper in one millisecond keep their order.
        call.arguments["message_id"] = f"demo-{run}-{message:09d}"
        yield call
        if not _queue_next_call(turns, at, number, remaining_calls):
            admit(at)


TimedCalls = Iterator[tuple[float, SdkCall]]
"""The calls of one shopper that are still to come, each after a pause in compressed seconds."""
Turn = tuple[float, int, SdkCall, TimedCalls]
"""The next call of one shopper: when (compressed), the shopper's number, the call, and the calls after it."""


def _queue_next_call(turns: list[Turn], at: float, number: int, remaining_calls: TimedCalls) -> bool:
    """Queue the next call of a shopper; False when the journey is over."""
    following = next(remaining_calls, None)
    if following is None:
        return False
    pause, call = following
    heapq.heappush(turns, (at + pause, number, call, remaining_calls))
    return True


def _shopper_calls(random: Random, run: str, number: int) -> TimedCalls:
    campaign = random.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]
    device = random.choices(DEVICES, DEVICE_WEIGHTS)[0]
    habit = random.choices(HABITS, HABIT_WEIGHTS)[0]
    # Each shopper has a generator of its own, so that its choices do not depend on the order of the turns.
    shopper = Shopper(Random(random.getrandbits(64)), campaign, f"A-{run}-{number}", habit == "in_store")
    user = {"user_id": f"customer-{run}-{number}"}
    browser = {"anonymous_id": str(uuid5(NAMESPACE_URL, f"{run}/{number}"))}
    ids = user if habit in ("signed_in", "in_store") else browser
    context = {"locale": "en"} if shopper.in_store else _web_context(campaign, device)

    def call(method: Method, **arguments: Any) -> SdkCall:
        return SdkCall(method, {**ids, "context": dict(context), **arguments})

    if habit == "signed_in":
        yield 0.0, call("identify", traits=_traits(shopper.random, number))
    for step in journey(shopper):
        if habit == "joins" and step.name == "Checkout Started":
            ids = browser | user
            yield step.pause, call("identify", traits=_traits(shopper.random, number))
        name = {"event": step.name} if step.method == "track" else {"name": step.name}
        yield step.pause, call(step.method, properties=step.properties, **name)


def _web_context(campaign: Campaign, device: Device) -> dict[str, Any]:
    context: dict[str, Any] = {
        "locale": "en",
        "userAgent": device.agent,
        "device": {"type": device.platform},
        "page": {"url": "https://shop.example/", "path": "/", "title": "Home"},
    }
    if campaign.medium != "none":
        context["campaign"] = {"source": campaign.source, "medium": campaign.medium, "name": campaign.name}
    return context


def _traits(random: Random, number: int) -> dict[str, Any]:
    first, last = random.choice(FIRST_NAMES), random.choice(LAST_NAMES)
    return {"name": f"{first} {last}", "email": f"{first}.{last}.{number}@shop.example".lower()}


def _base36(number: int) -> str:
    digits = ""
    while number:
        number, digit = divmod(number, 36)
        digits = BASE36[digit] + digits
    return digits or "0"
