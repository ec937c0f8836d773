"""The demo shop: an endless stream of SDK calls by made-up customers. Pure: randomness and clock are handed in."""

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
from throughline.demo.journeys import Call, Visitor, journey
from throughline.kit.clock import to_datetime

AT_ONCE = 40
"""Customers on their way at the same time."""
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"

Habit = Literal["anonymous", "signed_in", "joins", "in_store"]
HABITS: tuple[Habit, ...] = ("anonymous", "signed_in", "joins", "in_store")
HABIT_WEIGHTS = (46, 36, 4, 14)
"""`joins`: anonymous until the checkout, known from then on; one customer under two ids, which share a link."""


class Event(NamedTuple):
    """One call of the Segment SDK: the method and its keyword arguments."""

    call: Call
    arguments: dict[str, Any]


def stream(random: Random, clock: Callable[[], int], *, at_once: int = AT_ONCE) -> Iterator[Event]:
    """Calls without end, as many customers' journeys interleaved.

    Args:
        random: every choice comes from here: the same state and the same clock give the same calls.
        clock: the time in microseconds since the epoch. Each event carries what it says when the event is taken; the
            first reading is in every id, so that another run brings other customers.
        at_once: how many customers are on their way at the same time; each that ends is followed by a new one.
    """
    run = _base36(clock() // 1000)
    # Compressed time only decides whose turn it is; the pace is the reader's.
    turns: list[tuple[float, int, Event, Customer]] = []
    customers = 0

    def admit(at: float) -> None:
        nonlocal customers
        customers += 1
        _next_turn(turns, at, customers, _customer(random, run, customers))

    for _ in range(at_once):
        admit(random.uniform(0, 60))
    message = 0
    while True:
        at, number, event, customer = heapq.heappop(turns)
        message += 1
        event.arguments["timestamp"] = to_datetime(clock())
        # Ids that sort as they were made: events of one customer in one millisecond keep their order.
        event.arguments["message_id"] = f"demo-{run}-{message:09d}"
        yield event
        if not _next_turn(turns, at, number, customer):
            admit(at)


Customer = Iterator[tuple[float, Event]]
"""What is left of a customer's journey: (compressed seconds until then, the call)."""


def _next_turn(turns: list[tuple[float, int, Event, Customer]], at: float, number: int, customer: Customer) -> bool:
    """Queue the customer's next call; False when the journey is over."""
    following = next(customer, None)
    if following is None:
        return False
    pause, event = following
    heapq.heappush(turns, (at + pause, number, event, customer))
    return True


def _customer(random: Random, run: str, number: int) -> Customer:
    campaign = random.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]
    device = random.choices(DEVICES, DEVICE_WEIGHTS)[0]
    habit = random.choices(HABITS, HABIT_WEIGHTS)[0]
    # Each customer draws from an own generator, so that one's choices do not depend on whose turn it was.
    visitor = Visitor(Random(random.getrandbits(64)), campaign, f"A-{run}-{number}", habit == "in_store")
    user = {"user_id": f"customer-{run}-{number}"}
    browser = {"anonymous_id": str(uuid5(NAMESPACE_URL, f"{run}/{number}"))}
    ids = user if habit in ("signed_in", "in_store") else browser
    context = {"locale": "en"} if visitor.in_store else _web_context(campaign, device)

    def event(call: Call, **arguments: Any) -> Event:
        return Event(call, {**ids, "context": dict(context), **arguments})

    if habit == "signed_in":
        yield 0.0, event("identify", traits=_traits(visitor.random, number))
    for step in journey(visitor):
        if habit == "joins" and step.name == "Checkout Started":
            ids = browser | user
            yield step.pause, event("identify", traits=_traits(visitor.random, number))
        name = {"event": step.name} if step.call == "track" else {"name": step.name}
        yield step.pause, event(step.call, properties=step.properties, **name)


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
