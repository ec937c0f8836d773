"""What messages do and who passed codes on, by looking at each customer's facts."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from tests.reference.asked import facts_of
from tests.reference.replay import Customer, Replayed
from tests.reference.voice import properties_of
from tests.reference.walk import ENTER, LAPSE
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import OrderKey, Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")
STAGES = {
    "message_sent": "sent",
    "message_delivered": "delivered",
    "message_opened": "opened",
    "message_clicked": "clicked",
    "message_failed": "bounced",
}
Row = dict[str, Counter[str]]
"""Number -> customer -> how often the number counts it."""


def word_of(event: Touchpoint) -> str:
    return event.name.lower().replace(" ", "").replace("_", "").replace("-", "")


def stage_of(event: Touchpoint) -> str | None:
    kind = MODEL.kind(event.call, event.name)
    if kind is not None and kind.name == "leaving":
        return "unsubscribed" if word_of(event) in ("unsubscribed", "emailmarkedasspam") else None
    return None if kind is None else STAGES.get(kind.name)


def campaign_of(event: Touchpoint) -> str:
    properties = properties_of(event)
    named = json.loads(event.attribution or "{}").get("campaign")
    return str(named or properties.get("campaign_name") or properties.get("campaign_id") or "(none)")


def cycle_at(event: Touchpoint, customer: Customer) -> int:
    """The cycle in which the customer stood once the event had happened."""
    cycles = [step.cycle for step in customer.transitions if step.kind != LAPSE and step[:4] <= event.order_key]
    return cycles[-1] if cycles else 0


def messages_of(log: Sequence[Touchpoint], replayed: Replayed, now_us: int) -> tuple[dict[str, Row], dict[str, Row]]:
    """Campaign -> the numbers of its customers; and the same with each of their cycles once, of stages only."""
    numbers: dict[str, Row] = defaultdict(lambda: defaultdict(Counter))
    cycles: dict[str, Row] = defaultdict(lambda: defaultdict(Counter))
    for name, customer in replayed.customers.items():
        once: set[str] = set()
        clicks: dict[str, list[Touchpoint]] = defaultdict(list)
        seen: set[tuple[str, str, int]] = set()
        for event in facts_of(log, customer):
            stage = stage_of(event)
            if stage is None or event.message_id in once:
                continue
            once.add(event.message_id)
            campaign = campaign_of(event)
            numbers[campaign][stage][name] += 1
            seen.add((campaign, stage, cycle_at(event, customer)))
            if stage == "clicked":
                clicks[campaign].append(event)
        for campaign, stage, _ in seen:
            cycles[campaign][stage][name] += 1
        orders = {
            order: at_us for (owner, order), (at_us, *_) in replayed.conversions.items() if owner == name
        }  # fmt: skip
        for campaign, events in clicks.items():
            row, first = numbers[campaign], events[0]
            for window, after_us in (("24h", DAY_US), ("7d", 7 * DAY_US)):
                if first.occurred_us + after_us >= now_us:
                    continue
                row[f"clicked_{window}"][name] = 1
                if any(
                    step.kind == ENTER and step.origin and step[:4] > first.order_key
                    and step.at_us <= first.occurred_us + after_us
                    for step in customer.transitions
                ):  # fmt: skip
                    row[f"advanced_{window}"][name] = 1
            of_clicks = {
                order for order, at_us in orders.items()
                if any(0 < at_us - event.occurred_us <= 7 * DAY_US for event in events)
            }  # fmt: skip
            if of_clicks:
                row["orders"][name] = len(of_clicks)
    return numbers, cycles


class Codes(NamedTuple):
    """Who passed codes on, and with which codes customers came."""

    owners: dict[str, str]
    """Code -> the customer who passed it on first."""
    since_us: dict[str, int]
    contested: dict[str, tuple[int, str]]
    """Code -> when another customer passed it on, too, first after the owner, and who."""
    arrivals: dict[str, tuple[int, str]]
    """Customer -> when it came with its first code, before its first order, and the code."""


def codes_of(log: Iterable[Touchpoint], replayed: Replayed) -> Codes:
    log = list(log)
    claims: dict[str, list[tuple[OrderKey, str]]] = defaultdict(list)
    arrivals: dict[str, tuple[int, str]] = {}
    for name, customer in replayed.customers.items():
        ordered = [at_us for (owner, _), (at_us, *_) in replayed.conversions.items() if owner == name]
        for event in facts_of(log, customer):
            code = json.loads(event.attribution or "{}").get("referral_code")
            if code is None:
                continue
            kind = MODEL.kind(event.call, event.name)
            properties = properties_of(event)
            if kind is not None and kind.name == "share" and {"referral_code", "referralCode"} & properties.keys():
                claims[code].append((event.order_key, name))
            elif name not in arrivals and (not ordered or event.occurred_us < min(ordered)):
                arrivals[name] = (event.occurred_us, code)
    first = {code: min(of_code) for code, of_code in claims.items()}
    return Codes(
        {code: name for code, (_, name) in first.items()},
        {code: key[0] for code, (key, _) in first.items()},
        {
            code: (key[0], name)
            for code, of_code in claims.items()
            if (others := [claim for claim in of_code if claim[1] != first[code][1]])
            for key, name in [min(others)]
        },
        arrivals,
    )
