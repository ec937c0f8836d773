"""The demo shop's customers: the same for the same seed, telling as a shop's, and in every phase soon."""

from collections import Counter
from itertools import islice
from random import Random
from typing import Any

from throughline.demo.shop import SdkCall, stream
from throughline.journey.fold import fold
from throughline.journey.state import Journey
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import to_us
from throughline.models import load_model

START_US = 1_793_000_000_000_000
TICK_US = 50_000
"""Twenty events a second."""


class Clock:
    """Moves on by a tick at each reading."""

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        self.now_us += TICK_US
        return self.now_us


def events(count: int, seed: int = 1, start_us: int = START_US) -> list[SdkCall]:
    return list(islice(stream(Random(seed), Clock(start_us)), count))


def touchpoint(event: SdkCall) -> Touchpoint:
    arguments = event.arguments
    properties: dict[str, Any] = arguments.get("properties", {})
    return Touchpoint(
        to_us(arguments["timestamp"]),
        0,
        arguments["message_id"],
        arguments.get("user_id") or arguments["anonymous_id"],
        event.method,
        arguments.get("event") or arguments.get("name", ""),
        order_id=properties.get("order_id", ""),
        rating=properties.get("rating"),
        score=properties.get("score"),
    )


def journeys(shop: list[SdkCall]) -> dict[str, Journey]:
    model = load_model("seven_phase")
    states: dict[str, Journey | None] = {}
    for event in shop:
        latest = touchpoint(event)
        states[latest.actor] = fold(model, states.get(latest.actor), [latest]).journey
    return {actor: state for actor, state in states.items() if state is not None}


def test_the_same_seed_and_start_give_the_same_calls() -> None:
    assert events(2_000) == events(2_000)
    assert [e.arguments.get("event") for e in events(200, seed=1)] != [
        e.arguments.get("event") for e in events(200, seed=2)
    ]


def test_another_run_of_the_same_seed_brings_the_same_customers_under_new_ids() -> None:
    first, second = events(1_000), events(1_000, start_us=START_US + 3_600_000_000)
    assert [e.arguments.get("event") for e in first] == [e.arguments.get("event") for e in second]
    for name in ("message_id", "user_id", "anonymous_id"):
        assert not {e.arguments.get(name) for e in first} & {e.arguments.get(name, "-") for e in second}


def test_after_a_minute_at_twenty_a_second_there_are_people_in_all_seven_phases() -> None:
    for seed in range(5):
        phases = Counter(journey.phase for journey in journeys(events(20 * 75, seed)).values())
        assert set(range(1, 8)) <= set(phases), (seed, phases)


def test_most_customers_leave_on_the_way() -> None:
    phases = Counter(journey.phase for journey in journeys(events(30_000)).values())
    assert phases[1] + phases[2] + phases[3] > sum(phases.values()) / 2
    assert min(phases[number] for number in range(1, 8)) > sum(phases.values()) / 50


def test_the_default_vocabulary_knows_every_event() -> None:
    model = load_model("seven_phase")
    names = {e.arguments["event"] for e in events(10_000) if e.method == "track"}
    assert len(names) > 30
    assert not {name for name in names if model.kind("track", name) is None}


def test_orders_have_ids_of_their_own_and_values() -> None:
    placed = [e.arguments["properties"] for e in events(20_000) if _places_an_order(e)]
    assert len(placed) > 100
    assert len({order["order_id"] for order in placed}) == len(placed)
    for order in placed:
        assert order["order_id"]
        assert order["currency"] == "EUR"
        assert order["total"] > 0
        assert order["products"]


def test_what_happens_to_an_order_happens_after_it_was_placed() -> None:
    placed: set[str] = set()
    for event in events(20_000):
        order_id = event.arguments.get("properties", {}).get("order_id")
        if _places_an_order(event):
            placed.add(order_id)
        elif order_id is not None:
            assert order_id in placed, event


def test_customers_come_through_several_channels() -> None:
    shop = events(10_000)
    assert len({_campaign(e) for e in shop}) >= 6
    by_customer: dict[str, set[str]] = {}
    for event in shop:
        by_customer.setdefault(touchpoint(event).actor, set()).add(_campaign(event))
    assert all(len(campaigns) == 1 for campaigns in by_customer.values())


def test_few_customers_have_two_ids_and_those_share_a_link() -> None:
    shop = events(20_000)
    pairs = {(e.arguments["user_id"], e.arguments["anonymous_id"]) for e in shop if _both(e)}
    assert pairs
    assert len(pairs) < len(journeys(shop)) / 20
    assert len({user for user, _ in pairs}) == len({anonymous for _, anonymous in pairs}) == len(pairs)


def _places_an_order(event: SdkCall) -> bool:
    return event.arguments.get("event") in ("Order Completed", "pos_sale")


def _campaign(event: SdkCall) -> str:
    return str(event.arguments["context"].get("campaign", {}).get("source", ""))


def _both(event: SdkCall) -> bool:
    return "user_id" in event.arguments and "anonymous_id" in event.arguments
