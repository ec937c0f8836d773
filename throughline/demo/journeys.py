"""How a shopper behaves, step by step: pure scripts that draw every choice from the `Random` of the shopper.

A script yields `Step`s and returns whether the shopper goes on: most leave somewhere on the way, as in life. The
shares let every phase fill up soon; the pauses are compressed: a week's journey takes minutes.
"""

from collections.abc import Generator, Iterator
from random import Random
from typing import Any, Literal, NamedTuple

from throughline.demo.catalogue import COUPONS, PRODUCTS, SEARCHES, STORES, Campaign, Product

Method = Literal["track", "page", "identify"]
Properties = dict[str, Any]
CURRENCY = "EUR"


class Step(NamedTuple):
    """One call of a shopper after `pause` compressed seconds; `name` is the event's or the page's."""

    pause: float
    method: Method
    name: str
    properties: Properties


class Shopper(NamedTuple):
    """The person of a script. Order ids begin with `order_prefix`, unique to the shopper."""

    random: Random
    campaign: Campaign
    order_prefix: str
    in_store: bool


Script = Generator[Step, None, bool]


def journey(shopper: Shopper) -> Iterator[Step]:
    """The steps of one shopper, from the first contact to the last."""
    basket = shopper.random.sample(PRODUCTS, k=shopper.random.choice((1, 1, 2, 3)))
    order_id = _order_id(shopper, 1)
    if shopper.in_store:
        bought = yield from _visit_store(shopper, basket, order_id)
    else:
        bought = (
            (yield from _arrive(shopper))
            and (yield from _browse(shopper, basket))
            and (yield from _check_out(shopper, basket, order_id))
        )
    if bought and (yield from _receive(shopper, basket, order_id)) and (yield from _stay(shopper)):
        yield from _recommend(shopper, basket)
        if shopper.random.random() < 0.5:
            yield from _buy_again(shopper, 3)


def _arrive(shopper: Shopper) -> Script:
    """Discovery: an ad, a promotion, an e-mail, the first page."""
    random, campaign = shopper.random, shopper.campaign
    yield _page(random, "Home", "/")
    if campaign.medium in ("cpc", "paid_social", "affiliate"):
        yield _track(random, "ad_click", {"ad": campaign.name, "network": campaign.source})
    if random.random() < 0.5:
        promotion = {"promotion_id": "season", "creative": campaign.name or "hero-banner", "position": "home_top"}
        yield _track(random, "Promotion Viewed", promotion)
    return random.random() >= 0.2


def _browse(shopper: Shopper, basket: list[Product]) -> Script:
    """Consideration: lists, searches, products, reviews, a question."""
    random = shopper.random
    first = basket[0]
    if random.random() < 0.5:
        yield _track(random, "Products Searched", {"query": random.choice(SEARCHES)})
    else:
        yield _page(random, first.category, f"/c/{first.category.lower()}")
        yield _track(random, "Product List Viewed", {"list_id": first.category.lower(), "category": first.category})
    if random.random() < 0.25:
        yield _track(random, "Product List Filtered", {"filters": [{"type": "brand", "value": first.brand}]})
    for product in (*basket, random.choice(PRODUCTS)):
        yield _track(random, "Product Viewed", product_properties(product))
    if random.random() < 0.25:
        yield _track(random, "Product Added to Wishlist", {"wishlist_name": "Someday", **product_properties(first)})
    if random.random() < 0.2:
        yield _track(random, "Reviews Viewed", {"product_id": first.sku})
    if random.random() < 0.1:
        yield _track(random, "Live Chat Conversation Started", {"conversation_id": _token(random), "agent_name": "Mia"})
    return random.random() >= 0.3


def _check_out(shopper: Shopper, basket: list[Product], order_id: str) -> Script:
    """Decision, then purchase - or a cart that stays behind."""
    random = shopper.random
    checkout_id, total = _token(random), _total(basket)
    for product in basket:
        yield _track(random, "Product Added", {"cart_id": checkout_id, **product_properties(product)})
    yield _track(
        random, "Cart Viewed", {"cart_id": checkout_id, "products": [product_properties(item) for item in basket]}
    )
    coupon = ""
    if random.random() < 0.2:
        coupon = random.choice(COUPONS)
        applied = random.random() < 0.8
        name = "Coupon Applied" if applied else "Coupon Denied"
        yield _track(random, name, {"coupon_id": coupon, "cart_id": checkout_id})
        coupon = coupon if applied else ""
    if random.random() < 0.2:
        yield _track(random, "Product Removed", {"cart_id": checkout_id, **product_properties(basket[0])})
        return False
    yield _track(random, "Checkout Started", {"checkout_id": checkout_id, "value": total, "currency": CURRENCY})
    step = {"checkout_id": checkout_id, "step": 1, "shipping_method": random.choice(("standard", "express"))}
    yield _track(random, "Checkout Step Completed", step)
    if random.random() < 0.12:
        return False
    yield _track(random, "Payment Info Entered", {"checkout_id": checkout_id, "payment_method": "card"})
    if random.random() < 0.1:
        yield _track(random, "payment_error", {"checkout_id": checkout_id, "reason": "declined"})
        if random.random() < 0.5:
            return False
    yield _order(random, "Order Completed", order_id, basket, coupon)
    return random.random() >= 0.18


def _visit_store(shopper: Shopper, basket: list[Product], order_id: str) -> Script:
    """The way through a shop's door: a visit, trying things on, the till."""
    random = shopper.random
    store = random.choice(STORES)
    yield _track(random, "store_visit", {"store": store})
    if random.random() < 0.15:
        return False
    wearable = basket[0].category in ("Footwear", "Clothing")
    yield _track(random, "fitting_room" if wearable else "demo", {"store": store, **product_properties(basket[0])})
    if random.random() < 0.35:
        return False
    sale = _order(random, "pos_sale", order_id, basket, "")
    yield sale._replace(properties={"store": store, **sale.properties})
    return random.random() >= 0.3


def _receive(shopper: Shopper, basket: list[Product], order_id: str) -> Script:
    """Experience: the parcel, a question, a return, a survey."""
    random = shopper.random
    if not shopper.in_store:
        yield _track(random, "Order Fulfilled", {"order_id": order_id, "carrier": random.choice(("DHL", "Post"))})
        if random.random() < 0.6:
            yield _track(random, "Order Delivered", {"order_id": order_id})
    if random.random() < 0.2:
        yield _track(random, "support_ticket", {"ticket_id": _token(random), "topic": "delivery", "order_id": order_id})
    if random.random() < 0.05:
        refund = {"order_id": order_id, "total": _total(basket), "currency": CURRENCY}
        yield _track(random, "Order Refunded", refund)
        return False
    if shopper.in_store or random.random() < 0.3:
        yield _track(random, "survey_answered", {"survey": "nps", "score": random.choice((3, 5, 6, 7, 7, 8, 8))})
    return random.random() >= 0.32


def _stay(shopper: Shopper) -> Script:
    """Loyalty: a second order, a loyalty card, another visit to the store."""
    random = shopper.random
    choice = random.random()
    if choice < 0.5:
        yield from _buy_again(shopper, 2)
    elif choice < 0.8 or shopper.in_store:
        yield _track(random, "loyalty_card_joined", {"tier": "green"})
        if random.random() < 0.4:
            yield _track(random, "loyalty_card_redeemed", {"points": random.randrange(50, 500, 50)})
    else:
        yield _track(random, "store_visit", {"store": random.choice(STORES)})
    return random.random() >= 0.5


def _recommend(shopper: Shopper, basket: list[Product]) -> Iterator[Step]:
    """Advocacy: a good review, a share, an invitation, a nine or a ten."""
    random = shopper.random
    product = basket[0]
    choice = random.random()
    if choice < 0.35:
        review = {"product_id": product.sku, "review_id": _token(random), "rating": random.choice((4, 5, 5))}
        yield _track(random, "Product Reviewed", review)
    elif choice < 0.55:
        yield _track(random, "Product Shared", {"share_via": "chat", **product_properties(product)})
    elif choice < 0.75:
        yield _track(random, "Invite Sent", {"invitee_role": "friend"})
    elif choice < 0.85:
        yield _track(random, "social_mention", {"network": "instagram", "sentiment": "positive"})
    else:
        yield _track(random, "survey_answered", {"survey": "nps", "score": random.choice((9, 10))})


def _buy_again(shopper: Shopper, number: int) -> Iterator[Step]:
    random = shopper.random
    basket = random.sample(PRODUCTS, k=random.choice((1, 2)))
    for product in basket:
        yield _track(random, "Product Viewed", product_properties(product))
        yield _track(random, "Product Added", product_properties(product))
    yield _order(random, "Order Completed", _order_id(shopper, number), basket, "")


def _order_id(shopper: Shopper, number: int) -> str:
    return f"{shopper.order_prefix}-{number}"


def _order(random: Random, name: str, order_id: str, basket: list[Product], coupon: str) -> Step:
    return _track(random, name, order_properties(order_id, basket, coupon))


def order_properties(order_id: str, basket: list[Product], coupon: str) -> Properties:
    """The properties of an order; a coupon takes a tenth off."""
    total = _total(basket)
    discount = round(total * 0.1, 2) if coupon else 0.0
    properties = {
        "order_id": order_id,
        "total": round(total - discount, 2),
        "revenue": round(total - discount, 2),
        "currency": CURRENCY,
        "products": [product_properties(item) for item in basket],
    }
    if coupon:
        properties |= {"coupon": coupon, "discount": discount}
    return properties


def _total(basket: list[Product]) -> float:
    return round(sum(product.price for product in basket), 2)


def product_properties(product: Product) -> Properties:
    """The properties of a product, once."""
    return {
        "product_id": product.sku,
        "sku": product.sku,
        "name": product.name,
        "brand": product.brand,
        "category": product.category,
        "price": product.price,
        "currency": CURRENCY,
        "quantity": 1,
    }


def _page(random: Random, name: str, path: str) -> Step:
    return Step(_pause(random), "page", name, {"path": path, "url": f"https://shop.example{path}", "title": name})


def _track(random: Random, event: str, properties: Properties) -> Step:
    return Step(_pause(random), "track", event, properties)


def _pause(random: Random) -> float:
    """Compressed seconds between two steps: half a minute in the mean, many short, few long."""
    return 2.0 + random.expovariate(1 / 28.0)


def _token(random: Random) -> str:
    return f"{random.getrandbits(40):010x}"
