"""Realistic events: what the demo shop's customers do, as Segment JSON and as touchpoints. Seeded: always the same."""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

from throughline.demo.catalogue import CAMPAIGN_WEIGHTS, CAMPAIGNS, Campaign
from throughline.demo.journeys import Shopper, Step, journey
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import rfc3339

SPAN_SECONDS = 86_400.0
"""Time within which the customers of a log start."""
STRETCH = 60.0
"""Factor on the demo's pauses, which are compressed: a customer's steps are half an hour apart in the mean."""
LEFT_OUT = frozenset({"sku", "brand"})
"""Properties that would make the events longer than common ones."""


IDENTIFY_PERCENT = 2
LATE_BY = 20_000
"""Maximum number of events by which a late event is late."""


class Action(NamedTuple):
    """One step of one customer, `at` seconds after the log began."""

    at: float
    customer: int
    number: int
    step: Step
    campaign: Campaign


def actions_of(customer: int, *, seed: int = 0) -> Iterator[Action]:
    """All actions of one customer."""
    random = Random(seed << 32 | customer)
    campaign = random.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]
    at = random.uniform(0, SPAN_SECONDS)
    shopper = Shopper(random, campaign, f"A-{customer}", random.random() < 0.14)
    for number, step in enumerate(journey(shopper)):
        at += step.pause * STRETCH
        yield Action(at, customer, number, step, campaign)


def log_of_actions(events: int, *, seed: int = 0) -> list[Action]:
    """The first `events` actions of a shop, of as many customers as that takes, in the order of time."""
    actions: list[Action] = []
    customer = 0
    while len(actions) < events:
        actions += actions_of(customer, seed=seed)
        customer += 1
    actions = actions[:events]
    actions.sort(key=lambda action: action.at)
    return actions


def sample_actions(events: int) -> list[Action]:
    """Actions in the mix of a long log, for senders whose customers do not matter."""
    return Random(7).sample(log_of_actions(events * 8), events)


def segment_event(action: Action, *, message_id: str, user_id: str, at_us: int) -> dict[str, Any]:
    """The action as a Segment client sends it in a batch, about 350 bytes of JSON."""
    step, campaign = action.step, action.campaign
    context: dict[str, Any] = {"library": {"name": "analytics-python", "version": "2.3.4"}}
    if campaign.medium != "none":
        context["campaign"] = {"source": campaign.source, "medium": campaign.medium, "name": campaign.name}
    return {
        "type": step.method,
        "messageId": message_id,
        "timestamp": rfc3339(at_us),
        "userId": user_id,
        "event" if step.method == "track" else "name": step.name,
        "properties": {name: value for name, value in step.properties.items() if name not in LEFT_OUT},
        "context": context,
    }


def disordered_log(events: int, *, start_us: int) -> list[Touchpoint]:
    """A log of `events` events: 5 % of them are late, 2 % identify a customer whose events before are anonymous."""
    random = Random(11)
    log = [touchpoint(action, workspace=1, source=1, start_us=start_us) for action in log_of_actions(events)]
    places: dict[str, list[int]] = {}
    for number, event in enumerate(log):
        places.setdefault(event.actor, []).append(number)
    joining = random.sample(sorted(places), min(len(places), events * IDENTIFY_PERCENT // 100))
    turns = {actor: random.choice(places[actor]) for actor in joining}
    for number, event in enumerate(log):
        turn = turns.get(event.actor, -1)
        anonymous = f"visitor-{event.actor}"
        if number < turn:
            log[number] = event._replace(actor=anonymous, user_id="", anonymous_id=anonymous)
        elif number == turn:
            log[number] = event._replace(call="identify", name="", anonymous_id=anonymous)
    late = {number: number + random.randrange(1, LATE_BY) for number in random.sample(range(events), events // 20)}
    order = sorted(range(events), key=lambda number: late.get(number, number))
    return [log[number] for number in order]


def touchpoint(action: Action, *, workspace: int, source: int, start_us: int) -> Touchpoint:
    """The action as ingest puts it on Kafka."""
    step = action.step
    properties = step.properties
    at_us = start_us + round(action.at * 1e6)
    actor = f"customer-{action.customer:07d}"
    message_id = f"{actor}-{action.number:04d}-0f3c"
    event = segment_event(action, message_id=message_id, user_id=actor, at_us=at_us)
    rest = msgspec.json.encode({"properties": event["properties"], "context": event["context"]}).decode()
    return Touchpoint(
        at_us,
        0,
        message_id,
        actor,
        step.method,
        step.name,
        workspace,
        source,
        action.campaign.medium,
        at_us + 40_000,
        at_us,
        user_id=actor,
        order_id=properties.get("order_id", ""),
        value=properties.get("total", properties.get("value")),
        currency=properties.get("currency", ""),
        rating=properties.get("rating"),
        score=properties.get("score"),
        product_id=properties.get("product_id", ""),
        quantity=properties.get("quantity"),
        rest=rest,
    )
