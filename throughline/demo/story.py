"""Ninety days of the shop, told so that every view has something to find: docs/demo.md says what and where. Pure.

The same seed, end and number of customers give the same events. All of one customer stand together, in the order of
time: nothing is late, whatever the order in which batches arrive.
"""

import json
from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple
from uuid import NAMESPACE_URL, uuid5

from throughline.demo.catalogue import (
    CAMPAIGN_WEIGHTS,
    CAMPAIGNS,
    DEVICE_WEIGHTS,
    DEVICES,
    FIRST_NAMES,
    LAST_NAMES,
    PRODUCTS,
    SEARCHES,
    STORES,
    Campaign,
    Device,
    Product,
)
from throughline.demo.journeys import CURRENCY, order_properties, product_properties
from throughline.kit.clock import rfc3339

DAYS = 90
DAY_US = 86_400_000_000
HOUR_US = 3_600_000_000

SUMMIT = Campaign("instagram", "paid_social", "summit-stories")
FLASH = Campaign("display-network", "display", "flash-banner")
FRIEND = Campaign("friend", "referral", "bring-a-friend")
REMINDER = Campaign("newsletter", "email", "cart-reminder")
WIN_BACK = Campaign("newsletter", "email", "we-miss-you")

SUMMIT_DAYS = range(48, 62)
"""The campaign that works, by days since the story began."""
FLASH_DAYS = range(68, 75)
"""The one that does not."""
FAULT_DAYS = range(77, 84)
"""Paying fails on mobile."""
FAULTY_SHARE = 0.75
"""Share of the payments on mobile that fail then."""

HERO = "ada@shop.example"

CENTS_A_VISIT = {"cpc": 140, "paid_social": 180, "display": 110, "affiliate": 240}
"""What the shop pays for a visit, by medium; of other media nothing."""


class Chapter(NamedTuple):
    """Something to be annotated."""

    at_us: int
    until_us: int | None
    kind: str
    text: str


def chapters(until_us: int) -> list[Chapter]:
    """What a person of the shop would have written on the time axis."""
    began_us = until_us - DAYS * DAY_US

    def of(days: range, kind: str, text: str) -> Chapter:
        return Chapter(began_us + days.start * DAY_US, began_us + days.stop * DAY_US, kind, text)

    return [
        of(SUMMIT_DAYS, "campaign", "summit-stories on Instagram"),
        of(FLASH_DAYS, "campaign", "flash-banner in the display network"),
        of(FAULT_DAYS, "incident", "Paying fails on phones"),
        Chapter(began_us + FAULT_DAYS.stop * DAY_US, None, "release", "Checkout mended"),
    ]


class Spent(NamedTuple):
    """What a day of a campaign has cost."""

    day: int
    """Days since 1970-01-01."""
    campaign: str
    cents: int


def spent(until_us: int, customers: int) -> list[Spent]:
    """What the shop has paid for first visits, had as many come as there are to expect."""
    usual, extra = _visits_by_day()
    visit = customers / sum((*usual, *extra))
    costs: list[Spent] = []
    for day in range(DAYS):
        expected = {
            campaign: visit * usual[day] * weight / sum(CAMPAIGN_WEIGHTS)
            for campaign, weight in zip(CAMPAIGNS, CAMPAIGN_WEIGHTS, strict=True)
        }
        if extra[day]:
            extra_campaign = _extra_campaign(day)
            expected[extra_campaign] = expected.get(extra_campaign, 0.0) + visit * extra[day]
        noon_us = _began(until_us) + day * DAY_US + DAY_US // 2
        for campaign, visits in expected.items():
            cents = round(visits * CENTS_A_VISIT.get(campaign.medium, 0))
            if cents:
                costs.append(Spent(noon_us // DAY_US, campaign.name, cents))
    return costs


def story(seed: int, until_us: int, customers: int) -> Iterator[bytes]:
    """The events as JSON, in the form of Segment's batches.

    Args:
        seed: of every choice.
        until_us: when the story ends.
        customers: number of customers, to which the hero and those whom customers invite belong.
    """
    if customers < 1:
        return
    random = Random(seed)
    run = f"{until_us // 60_000_000:x}"
    yield from _Person(random, run, 0, until_us, _began(until_us), DEVICES[0]).tell(_hero)
    invited: deque[_Invitation] = deque()
    visits = _first_visits(random, until_us)
    for number in range(1, customers):
        choices = Random(random.getrandbits(64))
        if invited and choices.random() < 0.9:
            invitation = invited.popleft()
            at_us, campaign, code = invitation.at_us, FRIEND, invitation.code
        else:
            at_us, campaign = next(visits)
            code = ""
        person = _Person(choices, run, number, until_us, at_us, choices.choices(DEVICES, DEVICE_WEIGHTS)[0])
        person.campaign, person.code = campaign, code
        yield from person.tell(_in_store if not code and choices.random() < 0.1 else _online)
        invited += person.invitations
    yield from _odd_events(random, run, until_us, customers)


def _began(until_us: int) -> int:
    return until_us - DAYS * DAY_US


def _first_visits(random: Random, until_us: int) -> Iterator[tuple[int, Campaign]]:
    """When and by which campaign somebody comes for the first time, in no order."""
    usual, extra = _visits_by_day()
    weights = [*usual, *extra]
    while True:
        place = random.choices(range(2 * DAYS), weights)[0]
        day, is_extra = place % DAYS, place >= DAYS
        at_us = _began(until_us) + day * DAY_US + round(random.triangular(0, 24, 19) * HOUR_US)
        if is_extra:
            yield at_us, _extra_campaign(day)
        else:
            yield at_us, random.choices(CAMPAIGNS, CAMPAIGN_WEIGHTS)[0]


def _visits_by_day() -> tuple[list[float], list[float]]:
    """How many come for the first time, in proportion: as usual, and by the campaign of the day."""
    usual = [1.0 + 0.4 * (day % 7 in (5, 6)) + 0.3 * day / DAYS for day in range(DAYS)]
    return usual, [1.1 * (day in SUMMIT_DAYS) + 2.2 * (day in FLASH_DAYS) for day in range(DAYS)]


def _extra_campaign(day: int) -> Campaign:
    return SUMMIT if day in SUMMIT_DAYS else FLASH


class _Invitation(NamedTuple):
    at_us: int
    code: str


class _Person:
    """A customer whose events are noted as time goes by; what would happen after the end is left out."""

    def __init__(self, random: Random, run: str, number: int, until_us: int, at_us: int, device: Device) -> None:
        self.random = random
        self.number = number
        self.at_us = at_us
        self.device = device
        self.campaign: Campaign | None = None
        self.code = ""
        """The referral code by which somebody was invited."""
        self.user = ""
        self.invitations: list[_Invitation] = []
        self.orders = 0
        self._run = run
        self._until_us = until_us
        self._browser = ""
        self._events: list[bytes] = []
        self.use(device)

    @property
    def day(self) -> int:
        """Days since the story began."""
        return (self.at_us - _began(self._until_us)) // DAY_US

    @property
    def is_over(self) -> bool:
        """Whether the end has come."""
        return self.at_us > self._until_us

    def tell(self, life: Any) -> list[bytes]:
        """All events of a life."""
        life(self)
        return self._events

    def use(self, device: Device) -> None:
        """Go on with a device."""
        self.device = device
        self._browser = str(uuid5(NAMESPACE_URL, f"story/{self._run}/{self.number}/{device.agent}"))

    def sign_in(self, user: str = "") -> None:
        """Say who it is."""
        first, last = self.random.choice(FIRST_NAMES), self.random.choice(LAST_NAMES)
        self.user = user or f"{first}.{last}.{self.number}@shop.example".lower()
        self._note("identify", "", {}, traits={"email": self.user, "name": f"{first} {last}"})

    def wait(self, hours: float) -> None:
        """Let time go by: so long in the mean, a little at least."""
        self.at_us += round((0.2 * hours + self.random.expovariate(1 / (0.8 * hours))) * HOUR_US)

    def wait_days(self, least: float, most: float) -> None:
        """Let days go by."""
        self.at_us += round(self.random.uniform(least, most) * DAY_US)

    def page(self, name: str, path: str, campaign: Campaign | None = None) -> None:
        """See a page; with a campaign a visit begins."""
        self._note("page", name, {"path": path, "url": f"https://shop.example{path}", "title": name}, campaign)

    def click(self, campaign: Campaign) -> None:
        """Come by an ad."""
        self._note("track", "ad_click", {"ad": campaign.name, "network": campaign.source}, campaign)

    def track(self, event: str, **properties: Any) -> None:
        """Do something."""
        self._note("track", event, properties)

    def order(self, basket: list[Product], event: str = "Order Completed") -> str:
        """Buy; returns the order's id."""
        self.orders += 1
        order_id = f"S-{self._run}-{self.number}-{self.orders}"
        coupon = self.code if self.orders == 1 else ""
        properties = order_properties(order_id, basket, coupon)
        if coupon:
            properties["referral_code"] = coupon
        self.track(event, **properties)
        return order_id

    def _note(
        self, kind: str, name: str, properties: dict[str, Any], campaign: Campaign | None = None, **fields: Any
    ) -> None:
        self.at_us += self.random.randrange(8_000_000, 90_000_000)
        if self.is_over:
            return
        context: dict[str, Any] = {
            "locale": "en", "userAgent": self.device.agent, "device": {"type": self.device.platform},
        }  # fmt: skip
        if campaign is not None and campaign.medium != "none":
            context["campaign"] = {"source": campaign.source, "medium": campaign.medium, "name": campaign.name}
        event: dict[str, Any] = {
            "type": kind,
            "messageId": f"story-{self._run}-{self.number}-{len(self._events):04d}",
            "timestamp": rfc3339(self.at_us),
            "anonymousId": self._browser,
            "context": context,
            **fields,
        }
        if self.user:
            event["userId"] = self.user
        if kind != "identify":
            event["event" if kind == "track" else "name"] = name
            event["properties"] = properties
        self._events.append(json.dumps(event, separators=(",", ":")).encode())


def _chance(person: _Person, share: float) -> bool:
    return person.random.random() < share


def _basket(person: _Person) -> list[Product]:
    return person.random.sample(PRODUCTS, k=person.random.choice((1, 1, 2, 3)))


def _online(person: _Person) -> None:
    """The life of somebody who comes by the website."""
    campaign = person.campaign or CAMPAIGNS[-1]
    # How likely somebody goes on at each step, by what brought him.
    drive = {SUMMIT: 1.45, FLASH: 0.3, FRIEND: 1.4}.get(campaign, 1.0)
    basket = _basket(person)
    _land(person, campaign)
    if not _chance(person, min(0.95, 0.66 * drive)):
        _come_back_late(person, basket)
        return
    _look(person, basket)
    if _chance(person, 0.35):
        person.sign_in()
    if not _chance(person, min(0.92, 0.62 * drive)):
        if not _chance(person, 0.3):
            _come_back_late(person, basket)
            return
        person.wait_days(1, 9)
        _land(person, CAMPAIGNS[1] if not person.user else CAMPAIGNS[3])
        _look(person, basket)
    order_id = _pay(person, basket)
    if order_id:
        _keep(person, basket, order_id)
    else:
        _come_back_late(person, basket)


def _land(person: _Person, campaign: Campaign) -> None:
    if campaign.medium == "email":
        person.track("email_sent", campaign_id=campaign.name)
        person.track("Email Delivered", campaign_id=campaign.name)
        person.track("Email Opened", campaign_id=campaign.name)
        person.track("Email Link Clicked", campaign_id=campaign.name)
    if campaign.medium in CENTS_A_VISIT:
        person.click(campaign)
    path = f"/?ref={person.code}" if person.code and not person.orders else "/"
    person.page("Home", path, campaign)


def _look(person: _Person, basket: list[Product]) -> None:
    if _chance(person, 0.5):
        person.track("Products Searched", query=person.random.choice(SEARCHES))
    else:
        person.track("Product List Viewed", category=basket[0].category)
    for product in basket:
        person.track("Product Viewed", **product_properties(product))
    if _chance(person, 0.2):
        person.track("Product Added to Wishlist", **product_properties(basket[0]))
    if _chance(person, 0.04):
        person.track("size_guide_opened", category=basket[0].category)


def _pay(person: _Person, basket: list[Product]) -> str:
    """Cart and checkout; the id of the order that came of it, "" for none."""
    for product in basket:
        person.track("Product Added", **product_properties(product))
    if _chance(person, 0.3):  # the cart stays behind
        person.track("ad_impression", ad=basket[0].sku, network="display-network")
        if not person.user or not _chance(person, 0.45):
            return ""
        person.wait(26)
        _land(person, REMINDER)
    person.track("Checkout Started", value=sum(product.price for product in basket), currency=CURRENCY)
    if not person.user:
        person.sign_in()
    person.track("Checkout Step Completed", step=1, shipping_method=person.random.choice(("standard", "express")))
    if _chance(person, 0.08):
        person.track("form_error", field="postcode")
        if _chance(person, 0.4):
            return ""
    if person.device.platform == "mobile" and person.day in FAULT_DAYS and _chance(person, FAULTY_SHARE):
        person.track("checkout_bug", message="the payment form stays empty", app_version="7.4.0")
        if not _chance(person, 0.12):
            return ""
        person.wait(5)
        person.use(DEVICES[2])
        person.page("Checkout", "/checkout")
    person.track("Payment Info Entered", payment_method="card")
    if _chance(person, 0.06):
        person.track("payment_error", reason="declined")
        if _chance(person, 0.5):
            return ""
    return person.order(basket)


def _keep(person: _Person, basket: list[Product], order_id: str) -> None:
    """After an order: delivery, what the customer says of it, the next order, friends."""
    is_late = _chance(person, 0.12)
    person.wait(20)
    person.track("Order Fulfilled", order_id=order_id, carrier=person.random.choice(("DHL", "Post")))
    person.wait(150 if is_late else 45)
    person.track("Order Delivered", order_id=order_id)
    if is_late or _chance(person, 0.06):
        topic, sentiment = ("delivery", "negative") if is_late else ("size", "neutral")
        person.track("support_ticket", topic=topic, sentiment=sentiment)
        if _chance(person, 0.6):
            person.wait(8)
            person.track("csat_answered", csat=person.random.choice((1, 2, 3, 4) if is_late else (3, 4, 4, 5)), scale=5)
            person.track("ces_answered", ces=person.random.choice((2, 3, 4, 5) if is_late else (4, 5, 6, 7)), scale=7)
    happy = 0.25 if is_late else 0.85
    score = person.random.choice((9, 9, 10, 10, 8)) if _chance(person, happy) else person.random.randrange(0, 8)
    person.wait(110)
    person.track("survey_sent", survey="nps")
    if _chance(person, 0.45):
        person.wait(10)
        person.track("survey_answered", survey="nps", score=score)
    if _chance(person, 0.22):
        person.wait(60)
        rating = max(1, min(5, round(score / 2) + person.random.choice((-1, 0, 0))))
        person.track("Product Reviewed", product_id=basket[0].sku, rating=rating)
    if score >= 9 and _chance(person, 0.3):
        if _chance(person, 0.6):
            person.track("Product Shared", share_via="chat", product_id=basket[0].sku)
        else:
            person.track(
                "social_mention", network="instagram", sentiment="positive", reach=person.random.randrange(900)
            )
    if score < 5:
        return
    if _chance(person, 0.35):
        person.wait_days(12, 40)
        _land(person, CAMPAIGNS[3])
        again = _basket(person)
        _look(person, again)
        if _chance(person, 0.6) and _pay(person, again):
            person.track("loyalty_card_joined", tier="green")
    if score >= 9 and _chance(person, 0.4):
        person.wait(48)
        code = f"FRIEND-{person.number:04d}"
        person.track("Invite Sent", referral_code=code)
        for _ in range(person.random.choice((1, 1, 2))):
            person.invitations.append(_Invitation(person.at_us + person.random.randrange(HOUR_US, 5 * DAY_US), code))


def _come_back_late(person: _Person, basket: list[Product]) -> None:
    """Some of those who have left come back after they lapsed: their next cycle."""
    if not _chance(person, 0.16):
        return
    person.wait_days(34, 50)
    _land(person, WIN_BACK if person.user else CAMPAIGNS[1])
    _look(person, basket)
    order_id = _pay(person, basket) if _chance(person, 0.4) else ""
    if order_id:
        _keep(person, basket, order_id)


def _in_store(person: _Person) -> None:
    """The life of somebody who comes through the shop's door, with a card."""
    person.user = f"card-{person.number:05d}"
    store, basket = person.random.choice(STORES), _basket(person)
    person.track("store_visit", store=store)
    if not _chance(person, 0.8):
        return
    is_wearable = basket[0].category in ("Footwear", "Clothing")
    person.track("fitting_room" if is_wearable else "demo", store=store)
    if not _chance(person, 0.6):
        return
    person.order(basket, "pos_sale")
    if _chance(person, 0.3):
        person.wait_days(15, 45)
        person.track("store_visit", store=store)


def _hero(person: _Person) -> None:
    """Ada: two cycles on two devices, two orders, a friend; seen a minute ago. No choice of hers is left to chance."""
    tent, boots = [PRODUCTS[0]], [PRODUCTS[9], PRODUCTS[12]]
    began_us = person.at_us
    person.at_us = began_us + DAY_US // 2
    _land(person, CAMPAIGNS[1])
    person.track("Products Searched", query="tent")
    person.track("Product Viewed", **product_properties(tent[0]))
    person.at_us = began_us + 50 * DAY_US
    _land(person, SUMMIT)
    person.track("Product Viewed", **product_properties(tent[0]))
    person.track("Product Added", **product_properties(tent[0]))
    person.sign_in(HERO)
    person.wait(3)
    person.use(DEVICES[2])
    person.page("Home", "/", CAMPAIGNS[3])
    person.track("Checkout Started", value=tent[0].price, currency=CURRENCY)
    order_id = person.order(tent)
    person.wait(20)
    person.track("Order Fulfilled", order_id=order_id, carrier="Post")
    person.wait(30)
    person.track("Order Delivered", order_id=order_id)
    person.at_us = began_us + 60 * DAY_US
    person.track("survey_answered", survey="nps", score=8)
    person.at_us = began_us + 71 * DAY_US
    _land(person, CAMPAIGNS[3])
    for product in boots:
        person.track("Product Viewed", **product_properties(product))
        person.track("Product Added", **product_properties(product))
    person.order(boots)
    person.at_us = began_us + 79 * DAY_US
    person.track("Product Reviewed", product_id=boots[0].sku, rating=5)
    person.track("Invite Sent", referral_code="ADA10")
    person.at_us = began_us + DAYS * DAY_US - 4 * 60_000_000
    person.page("Account", "/account")


def _odd_events(random: Random, run: str, until_us: int, customers: int) -> Iterator[bytes]:
    """What an old app sends: names with a slip, and events without a name. For Data quality."""
    for number in range(max(2, customers // 100)):
        event: dict[str, Any] = {
            "type": "track",
            "messageId": f"story-{run}-odd-{number}",
            "timestamp": rfc3339(until_us - random.randrange(HOUR_US, 2 * DAY_US)),
            "anonymousId": f"old-app-{run}-{number % 7}",
            "properties": {"app_version": "6.1.2"},
        }
        if number % 2:
            event["event"] = "Prodct Viewed"
        yield json.dumps(event, separators=(",", ":")).encode()
