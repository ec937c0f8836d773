"""Realistic events: what the demo shop's customers do, as Segment JSON and as touchpoints. Seeded: always the same."""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

import msgspec

from throughline.demo.catalogue import CAMPAIGN_WEIGHTS, CAMPAIGNS, Campaign
from throughline.demo.journeys import Step, Visitor, journey
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import rfc3339

SPAN_SECONDS = 86_400.0
"""The customers of a log start within this time."""
STRETCH = 60.0
"""The demo's pauses are compressed; a customer's steps here lie half an hour apart in the mean."""
LEFT_OUT = frozenset({"sku", "brand"})
"""Properties that would make the events longer than usual ones."""


IDENTIFY_PERCENT = 2
LATE_BY = 20_000
"""A late event comes at most so many events later."""


class Act(NamedTuple):
    """One step of one customer, `at` seconds after the log began."""

    at: float
    customer: int
    number: int
    step: Step
    campaign: Campaign


def acts_of(customer: int, *, seed: int = 0) -> Iterator[Act]:
    """All that one customer does."""
    random = Random(seed << 32 | customer)
    campaign = random.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]
    at = random.uniform(0, SPAN_SECONDS)
    visitor = Visitor(random, campaign, f"A-{customer}", random.random() < 0.14)
    for number, step in enumerate(journey(visitor)):
        at += step.pause * STRETCH
        yield Act(at, customer, number, step, campaign)


def log_of(events: int, *, seed: int = 0) -> list[Act]:
    """The acts of as many customers as it takes, interleaved in the order of time."""
    acts: list[Act] = []
    customer = 0
    while len(acts) < events:
        acts += acts_of(customer, seed=seed)
        customer += 1
    acts = acts[:events]
    acts.sort(key=lambda act: act.at)
    return acts


def pool_of(events: int) -> list[Act]:
    """Acts in the mix of a long log, for senders whose customers do not matter."""
    return Random(7).sample(log_of(events * 8), events)


def segment_event(act: Act, *, message_id: str, user_id: str, at_us: int) -> dict[str, Any]:
    """The act as a Segment client sends it in a batch, about 350 bytes of JSON."""
    step, campaign = act.step, act.campaign
    context: dict[str, Any] = {"library": {"name": "analytics-python", "version": "2.3.4"}}
    if campaign.medium != "none":
        context["campaign"] = {"source": campaign.source, "medium": campaign.medium, "name": campaign.name}
    return {
        "type": step.call,
        "messageId": message_id,
        "timestamp": rfc3339(at_us),
        "userId": user_id,
        "event" if step.call == "track" else "name": step.name,
        "properties": {name: value for name, value in step.properties.items() if name not in LEFT_OUT},
        "context": context,
    }


def mixed(events: int, *, start_us: int) -> list[Touchpoint]:
    """As many events, 5 % of them late, 2 % an identify: of some customers all before it was anonymous."""
    random = Random(11)
    log = [touchpoint(act, workspace=1, source=1, start_us=start_us) for act in log_of(events)]
    places: dict[str, list[int]] = {}
    for number, one in enumerate(log):
        places.setdefault(one.actor, []).append(number)
    joining = random.sample(sorted(places), min(len(places), events * IDENTIFY_PERCENT // 100))
    turns = {actor: random.choice(places[actor]) for actor in joining}
    for number, one in enumerate(log):
        turn = turns.get(one.actor, -1)
        anonymous = f"visitor-{one.actor}"
        if number < turn:
            log[number] = one._replace(actor=anonymous, user_id="", anonymous_id=anonymous)
        elif number == turn:
            log[number] = one._replace(call="identify", name="", anonymous_id=anonymous)
    late = {number: number + random.randrange(1, LATE_BY) for number in random.sample(range(events), events // 20)}
    order = sorted(range(events), key=lambda number: late.get(number, number))
    return [log[number] for number in order]


def touchpoint(act: Act, *, workspace: int, source: int, start_us: int) -> Touchpoint:
    """The act as ingest puts it on Kafka."""
    step = act.step
    properties = step.properties
    at_us = start_us + round(act.at * 1e6)
    actor = f"customer-{act.customer:07d}"
    message_id = f"{actor}-{act.number:04d}-0f3c"
    event = segment_event(act, message_id=message_id, user_id=actor, at_us=at_us)
    rest = msgspec.json.encode({"properties": event["properties"], "context": event["context"]}).decode()
    return Touchpoint(
        at_us,
        message_id,
        actor,
        step.call,
        step.name,
        workspace,
        source,
        act.campaign.medium,
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
