"""The journey rules once more, written from the rules and not from the code: sort, then walk, no shortcuts.

Only what has landed: the seven-phase model, order guards, no lapse. Slow and plain on purpose.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from throughline.journey.touchpoint import Touchpoint

NAMES = ("discovery", "consideration", "decision", "purchase", "experience", "loyalty", "advocacy")

# Event name -> what it is, for the names the tests use.
MEANING = {
    "Promotion Viewed": "discovery",
    "product_view": "consideration",
    "catalog": "consideration",
    "search": "consideration",
    "filter_results": "consideration",
    "wishlist_add": "consideration",
    "compare": "consideration",
    "review_page": "consideration",
    "promo_page": "discovery",
    "Product Added": "decision",
    "add_to_cart": "decision",
    "cart": "decision",
    "shipping_details": "decision",
    "payment_details": "decision",
    "payment_error": "decision",
    "checkout_bug": "decision",
    "home": "page",
    "account_page": "page",
    "Order Completed": "order",
    "purchase": "order",
    "Order Cancelled": "cancel",
    "Order Refunded": "refund",
    "Order Fulfilled": "experience",
    "support_chat": "support",
    "Product Reviewed": "review",
    "Product Shared": "share",
    "Loyalty Card Joined": "loyalty",
    "store_visit": "store",
    "survey_answered": "survey",
    "Coffee Spilled": "nothing",
    "error_page": "nothing",
}


def distinct(log: Iterable[Touchpoint]) -> list[Touchpoint]:
    """What counts of a log: the first event of each message id of an actor."""
    seen: dict[tuple[int, str, str], Touchpoint] = {}
    for event in log:
        seen.setdefault((event.workspace, event.actor, event.message_id), event)
    return list(seen.values())


def walk(events: Iterable[Touchpoint]) -> list[tuple[int, str, str, str]]:
    """One customer's moves: (at_us, from, to, message id); "" is nowhere."""
    moves: list[tuple[int, str, str, str]] = []
    phase = ""
    pages = 0
    placed: dict[str, float | None] = {}
    cancelled: set[str] = set()
    for event in sorted(events, key=lambda e: (e.occurred_us, e.message_id, e.actor)):
        order = event.order_id or "event:" + event.message_id
        standing = [o for o in placed if o not in cancelled]
        meaning = "page" if event.call in ("page", "screen") else MEANING[event.name] if event.call == "track" else ""
        target = ""
        if meaning in NAMES:
            target = meaning
        elif meaning == "page":
            target = "discovery" if pages == 0 else "consideration"
            pages += 1
        elif meaning == "order":
            if placed.get(order) is None:
                placed[order] = event.value
            if order not in cancelled:
                earlier = standing.index(order) if order in standing else len(standing)
                target = "loyalty" if earlier > 0 else "purchase"
        elif meaning == "cancel":
            cancelled.add(order)
        elif meaning == "refund":
            worth = placed.get(order) if order in standing else None
            if event.value is None or (worth is not None and event.value >= worth):
                cancelled.add(order)
        elif meaning == "support":
            target = "experience" if standing else "consideration"
        elif meaning == "store":
            target = "loyalty" if standing else "discovery"
        elif meaning == "share":
            target = "advocacy" if standing else "consideration"
        elif meaning == "review":
            good = event.rating is not None and event.rating >= 4
            target = ("advocacy" if good else "experience") if standing else "consideration"
        elif meaning == "survey":
            promoter = event.score is not None and event.score >= 9
            target = "experience" if not promoter else "advocacy" if standing else "consideration"
        rank = NAMES.index(target) if target else -1
        if rank > (NAMES.index(phase) if phase else -1):
            moves.append((event.occurred_us, phase, target, event.message_id))
            phase = target
    return moves


Counts = dict[tuple[int, str, str], tuple[int, int, int]]


def replay(log: Iterable[Touchpoint]) -> tuple[dict[str, list[tuple[int, str, str, str]]], Counts]:
    """One workspace's log: every customer's moves, and (source, channel, phase) -> (now, entered, left)."""
    by_customer: dict[str, list[Touchpoint]] = defaultdict(list)
    for event in distinct(log):
        by_customer[event.actor].append(event)
    moves = {customer: walk(events) for customer, events in by_customer.items()}
    now: Counter[tuple[int, str, str]] = Counter()
    entered: Counter[tuple[int, str, str]] = Counter()
    left: Counter[tuple[int, str, str]] = Counter()
    for customer, steps in moves.items():
        first = min(by_customer[customer], key=lambda e: (e.occurred_us, e.message_id, e.actor))
        cell = (first.source, first.channel)
        now[(*cell, steps[-1][2] if steps else "")] += 1
        for _, origin, target, _ in steps:
            entered[(*cell, target)] += 1
            if origin:
                left[(*cell, origin)] += 1
    keys = set(now) | set(entered) | set(left)
    return moves, {key: (now[key], entered[key], left[key]) for key in keys}
