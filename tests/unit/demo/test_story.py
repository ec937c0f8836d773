"""The demo's ninety days: the same for the same seed, whole customers in the order of time, and with what docs/demo.md
promises."""

import json
from collections import Counter, defaultdict
from datetime import datetime
from itertools import groupby, pairwise
from typing import Any

from throughline.demo.story import DAY_US, DAYS, FAULT_DAYS, FLASH, HERO, SUMMIT, Chapter, chapters, spent, story
from throughline.kit.clock import to_us

UNTIL_US = 1_793_000_040_000_000
CUSTOMERS = 1_500
EVENTS = [json.loads(event) for event in story(1, UNTIL_US, CUSTOMERS)]
PEOPLE = [list(events) for _, events in groupby(EVENTS, key=lambda event: event["messageId"].rpartition("-")[0])]


def at_us(event: dict[str, Any]) -> int:
    return to_us(datetime.fromisoformat(event["timestamp"]))


def names(person: list[dict[str, Any]]) -> list[str]:
    return [event.get("event", event["type"]) for event in person]


def campaign(person: list[dict[str, Any]]) -> str:
    first = next((event for event in person if "campaign" in event["context"]), None)
    return "" if first is None else str(first["context"]["campaign"]["name"])


def share_of_buyers(people: list[list[dict[str, Any]]]) -> float:
    return sum("Order Completed" in names(person) for person in people) / len(people)


def test_the_same_seed_tells_the_same() -> None:
    assert list(story(1, UNTIL_US, 50)) == list(story(1, UNTIL_US, 50))
    assert list(story(1, UNTIL_US, 50)) != list(story(2, UNTIL_US, 50))
    assert list(story(1, UNTIL_US, 0)) == []
    assert len({event["messageId"] for event in EVENTS}) == len(EVENTS)


def test_customers_stand_together_in_the_order_of_time() -> None:
    people = [person for person in PEOPLE if "odd" not in person[0]["messageId"]]
    assert 0.9 * CUSTOMERS < len(people) <= CUSTOMERS  # nobody whose first visit is to come
    for person in people:
        instants = [at_us(event) for event in person]
        assert instants == sorted(instants)
        assert instants[0] >= UNTIL_US - DAYS * DAY_US
        assert instants[-1] <= UNTIL_US
    assert max(at_us(event) for event in EVENTS) > UNTIL_US - DAY_US // 24


def test_what_there_is_to_find() -> None:
    by_campaign: dict[str, list[list[dict[str, Any]]]] = defaultdict(list)
    for person in PEOPLE:
        if "context" in person[0] and "store_visit" not in names(person):
            by_campaign[campaign(person)].append(person)
    usual = share_of_buyers(by_campaign["spring-trails"])
    assert share_of_buyers(by_campaign[SUMMIT.name]) > 1.3 * usual
    assert share_of_buyers(by_campaign[FLASH.name]) < 0.4 * usual
    assert share_of_buyers(by_campaign["bring-a-friend"]) > usual

    faults = [event for event in EVENTS if event.get("event") == "checkout_bug"]
    days = {(at_us(event) - UNTIL_US) // DAY_US + DAYS for event in faults}
    assert days
    assert days <= set(FAULT_DAYS)
    assert {event["context"]["device"]["type"] for event in faults} == {"mobile"}

    told = Counter(event.get("event") for event in EVENTS)
    for name in (
        "Invite Sent",
        "Email Link Clicked",
        "support_ticket",
        "pos_sale",
        "Prodct Viewed",
        "form_error",
        "csat_answered",
        "ces_answered",
        "Product Shared",
        "social_mention",
    ):
        assert told[name] >= 5, name
    scores = {event["properties"]["score"] for event in EVENTS if event.get("event") == "survey_answered"}
    assert len(scores) >= 8
    assert len({event["properties"]["rating"] for event in EVENTS if event.get("event") == "Product Reviewed"}) >= 3
    coupons = [event for event in EVENTS if "referral_code" in event.get("properties", {}) and "coupon" in str(event)]
    assert coupons
    gaps = [at_us(later) - at_us(event) for person in PEOPLE for event, later in pairwise(person)]
    assert sum(gap > 31 * DAY_US for gap in gaps) > CUSTOMERS / 50  # who lapsed and came back


def test_the_hero_has_two_devices_and_was_just_there() -> None:
    hero = PEOPLE[0]
    assert {event["anonymousId"] for event in hero if event.get("userId") == HERO} != {hero[0]["anonymousId"]}
    assert names(hero).count("Order Completed") == 2
    assert UNTIL_US - at_us(hero[-1]) < 5 * 60_000_000


def test_chapters_lie_within_the_story() -> None:
    told: list[Chapter] = chapters(UNTIL_US)
    assert [chapter.kind for chapter in told] == ["campaign", "campaign", "incident", "release"]
    assert all(
        UNTIL_US - DAYS * DAY_US < chapter.at_us < (chapter.until_us or UNTIL_US) <= UNTIL_US for chapter in told
    )


def test_campaigns_cost_what_their_visits_cost() -> None:
    costs = spent(UNTIL_US, CUSTOMERS)
    by_campaign: Counter[str] = Counter()
    for cost in costs:
        by_campaign[cost.campaign] += cost.cents
    assert set(by_campaign) == {"spring-trails", "summit-stories", "gear-tests", "flash-banner"}
    assert len({(cost.day, cost.campaign) for cost in costs}) == len(costs)
    first_day, last_day = (UNTIL_US - DAYS * DAY_US) // DAY_US, UNTIL_US // DAY_US
    assert all(first_day <= cost.day <= last_day and cost.cents > 0 for cost in costs)
    buyers = Counter(campaign(p) for p in PEOPLE if "context" in p[0] and "Order Completed" in names(p))
    # The campaign that works is the cheaper one for each buyer, though its visits are the dearer ones.
    per_buyer = {name: cents / buyers[name] for name, cents in by_campaign.items()}
    assert per_buyer["summit-stories"] < per_buyer["flash-banner"]
    assert spent(UNTIL_US, 0) == []
