"""A second reader of model files, and the meaning of guards: questions about the list of events so far."""

import json
import re
import tomllib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from pathlib import Path
from typing import Any

from throughline.journey.touchpoint import Touchpoint

FOLDER = Path(__file__).parents[2] / "throughline" / "models"
DAY_US = 86_400_000_000


@dataclass(frozen=True)
class Rule:
    kind: str
    guards: tuple[str, ...]
    phase: int
    ends: bool

    @property
    def why(self) -> str:
        return f"{self.kind} when {' and '.join(self.guards)}" if self.guards else self.kind


@dataclass(frozen=True)
class Meaning:
    """A kind of touchpoint: its rules in order, and its effects."""

    kind: str
    rules: tuple[Rule, ...]
    order: str
    cart: str
    page: bool
    by_customer: bool


@dataclass(frozen=True)
class NaiveModel:
    """A model; its phases are numbered from 1, and 0 is unplaced."""

    name: str
    phases: tuple[str, ...]
    windows: tuple[int, ...]
    emptied_windows: tuple[int, ...]
    by_call: dict[str, Meaning]
    by_name: dict[str, Meaning]

    def meaning(self, event: Touchpoint) -> Meaning | None:
        """The kind of an event; None if it is unmapped."""
        if event.call in self.by_call:
            return self.by_call[event.call]
        return self.by_name.get(plain(event.name)) if event.call == "track" else None


@cache
def plain(name: str) -> str:
    """The name without case, spaces, hyphens and underscores."""
    return re.sub(r"[-_\s]", "", name.casefold())


@cache
def naive_model(name: str) -> NaiveModel:
    """A shipped model."""
    vocabulary = tomllib.loads((FOLDER / "vocabulary.toml").read_text())
    return read(tomllib.loads((FOLDER / f"{name}.toml").read_text()), vocabulary)


def read(document: dict[str, Any], vocabulary: dict[str, Any]) -> NaiveModel:
    """A model from the documents of its file and of the vocabulary."""
    phases = ("", *(phase["name"] for phase in document["phases"]))
    days = {phase["name"]: phase["window_days"] for phase in document["phases"]}
    emptied = {phase["name"]: phase.get("emptied_window", phase["name"]) for phase in document["phases"]}
    kinds = document.get("kinds", {})
    by_call: dict[str, Meaning] = {}
    by_name: dict[str, Meaning] = {}
    # The model's kinds come last, as they override the vocabulary's.
    for words in (vocabulary, kinds):
        for kind, table in words.items():
            effects = vocabulary.get(kind, {}) | kinds.get(kind, {})
            ruling = kind if kind in document["rules"] else effects.get("like", kind)
            meaning = Meaning(
                kind=kind,
                rules=tuple(
                    Rule(ruling, tuple(rule.get("when", [])), phases.index(rule["phase"]), rule.get("ends", False))
                    for rule in document["rules"].get(ruling, [])
                ),
                order=effects.get("order", ""),
                cart=effects.get("cart", ""),
                page=effects.get("page", False),
                by_customer=effects.get("by_customer", True),
            )
            by_call |= dict.fromkeys(table.get("calls", []), meaning)
            by_name |= dict.fromkeys(map(plain, table.get("names", [])), meaning)
    return NaiveModel(
        name=document["name"],
        phases=phases,
        windows=(0, *(days[name] * DAY_US for name in phases[1:])),
        emptied_windows=(0, *(days[emptied[name]] * DAY_US for name in phases[1:])),
        by_call=by_call,
        by_name=by_name,
    )


Order = tuple[str, str]


def order_of(event: Touchpoint) -> Order:
    """The order of an event: the one it names, else an order that is this event's alone."""
    return ("order", event.order_id) if event.order_id else ("event", event.message_id)


def standing(model: NaiveModel, events: Sequence[Touchpoint]) -> list[Order]:
    """The orders that were placed and are neither cancelled nor refunded in full, in the order of their placing."""
    placed = [order_of(event) for event in events if effect(model, event) in PLACING]
    return [order for order in dict.fromkeys(placed) if stands(model, events, order)]


PLACING = ("place", "pay")
DIGITS = {"": 4, "JPY": 0, "KWD": 3}


def stands(model: NaiveModel, events: Sequence[Touchpoint], order: Order) -> bool:
    """Whether a placed order counts after these events."""
    story = [(effect(model, event), event) for event in events if effect(model, event) and order_of(event) == order]
    placing = next(n for n, (what, _) in enumerate(story) if what in PLACING)
    cancelled = False
    for what, _ in story[placing:]:
        # A payment after a cancellation makes the order stand again, a further report does not.
        cancelled = what == "cancel" or (cancelled and what != "pay")
    return not cancelled and not refunded(story, placing)


def refunded(story: Sequence[tuple[str, Touchpoint]], placing: int) -> bool:
    """Whether the refunds of an order, from before its sale or after it, are all of it."""
    refunds = [event for what, event in story if what == "refund"]
    if any(not money(event) and not given_back(event) for event in refunds):
        return True
    returned = [line for event in refunds if not money(event) for line in given_back(event)]
    sold, gross, net, currency = charged(story, placing)
    if returned and sold and all(count(returned, product) >= count(sold, product) for product, _, _ in sold):
        return True
    due = net if gross is None else gross
    if due is None or not refunds:
        return False
    for own in [currency] if currency else {event.currency for event in refunds} - {""} or {""}:
        if paid_back(refunds, sold, gross, own) >= (due if currency else rounded(due, own)):
            return True
    return False


def paid_back(
    refunds: Sequence[Touchpoint], sold: Sequence[tuple[str, float, float | None]], gross: int | None, own: str
) -> int:
    """What refunds pay back in a currency, and without one."""
    returned = [line for event in refunds if not money(event) for line in given_back(event)]
    sums: dict[str, int] = defaultdict(int)
    for event in refunds:
        first, second = (event.value, event.total) if gross is None else (event.total, event.value)
        amount = second if first is None else first
        if amount is not None:
            sums[event.currency] += minor(abs(amount), event.currency)
        for _, quantity, price in () if money(event) else given_back(event):
            if price is not None:
                sums[event.currency] += minor(abs(price) * abs(quantity), event.currency)
    in_all = rounded(sums[""], own) + (sums[own] if own else 0)
    for product in {product for product, _, price in returned if price is None}:
        price = next((price for name, _, price in sold if name == product and price is not None), None)
        if price is not None:
            open_ = sum(abs(quantity) for name, quantity, cost in returned if name == product and cost is None)
            in_all += minor(abs(price) * open_, own)
    return in_all


def conversions(model: NaiveModel, events: Sequence[Touchpoint]) -> dict[str, tuple[int, int, int, str]]:
    """The live orders: key -> (when placed, gross, net, currency)."""
    result: dict[str, tuple[int, int, int, str]] = {}
    for order in standing(model, events):
        story = [(effect(model, event), event) for event in events if effect(model, event) and order_of(event) == order]
        placing = next(n for n, (what, _) in enumerate(story) if what in PLACING)
        sold, gross, net, currency = charged(story, placing)
        due = (net if gross is None else gross) or 0
        refunds = [event for what, event in story if what == "refund"]
        left = due if due <= 0 else max(0, due - paid_back(refunds, sold, gross, currency))
        key = order[1] if order[0] == "order" else f"\x1f{order[1]}"
        result[key] = (story[placing][1].occurred_us, due, left, currency)
    return result


def charged(
    story: Sequence[tuple[str, Touchpoint]], placing: int
) -> tuple[list[tuple[str, float, float | None]], int | None, int | None, str]:
    """The lines of an order, what it costs gross and net, and its currency: of its first report, its edits, and what
    later reports add to them.
    """
    sold: list[tuple[str, float, float | None]] = []
    gross: int | None = None
    net: int | None = None
    currency, edited = "", False
    for n, (what, event) in enumerate(story):
        if what not in ("edit", *PLACING):
            continue
        says_more = n < placing or n == placing or what == "edit"
        if lines(event) and (says_more or not sold):
            sold = lines(event)
        if money(event) and (says_more or (gross is None and net is None)):
            currency = event.currency or currency
            gross, net = (None if amount is None else minor(amount, currency) for amount in (event.total, event.value))
            edited = edited or what == "edit"
        elif n > placing and what != "edit" and not edited and event.currency in ("", currency):
            filled = (
                minor(event.total, currency) if gross is None and event.total is not None else gross,
                minor(event.value, currency) if net is None and event.value is not None else net,
            )
            so_far = list(story[:n])
            if filled != (gross, net) and not undone(so_far, placing):
                gross, net = filled
    return sold, gross, net, currency


def undone(story: Sequence[tuple[str, Touchpoint]], placing: int) -> bool:
    """Whether an order does not stand after a part of its story."""
    cancelled = False
    for what, _ in story[placing:]:
        cancelled = what == "cancel" or (cancelled and what != "pay")
    return cancelled or refunded(story, placing)


def money(event: Touchpoint) -> bool:
    return event.total is not None or event.value is not None


def lines(event: Touchpoint) -> list[tuple[str, float, float | None]]:
    return [(product, quantity, price) for product, quantity, price in json.loads(event.items or "[]")]


def given_back(event: Touchpoint) -> list[tuple[str, float, float | None]]:
    """The lines of a refund, or the one product that it names."""
    quantity = 1.0 if event.quantity is None else event.quantity
    return lines(event) or ([(event.product_id, quantity, None)] if event.product_id else [])


def count(among: Sequence[tuple[str, float, float | None]], product: str) -> float:
    return sum(abs(quantity) for name, quantity, _ in among if name == product)


def minor(amount: float, currency: str) -> int:
    """An amount in the smallest unit of its currency; with four decimals when that is not known."""
    return int((Decimal(repr(amount)) * 10 ** DIGITS.get(currency, 2)).to_integral_value(ROUND_HALF_EVEN))


def rounded(units: int, currency: str) -> int:
    """An amount of no currency in the smallest unit of one."""
    return int((Decimal(units) / 10 ** (4 - DIGITS.get(currency, 2))).to_integral_value(ROUND_HALF_EVEN))


def orphans(model: NaiveModel, events: Sequence[Touchpoint]) -> dict[int, int]:
    """By source, the refunds and cancellations of orders that these events never place."""
    placed = {order_of(event) for event in events if effect(model, event) in PLACING}
    counted: dict[int, int] = defaultdict(int)
    for event in events:
        if effect(model, event) in ("cancel", "refund") and order_of(event) not in placed:
            counted[event.source] += 1
    return dict(counted)


def foreign(model: NaiveModel, events: Sequence[Touchpoint]) -> dict[int, int]:
    """By source, the refunds of a sum in another currency than that of their order, which these events place."""
    counted: dict[int, int] = defaultdict(int)
    for event in events:
        if effect(model, event) != "refund" or not event.currency:
            continue
        if not money(event) and all(price is None for _, _, price in given_back(event)):
            continue
        story = [(effect(model, e), e) for e in events if effect(model, e) and order_of(e) == order_of(event)]
        placing = next((n for n, (what, _) in enumerate(story) if what in PLACING), None)
        if placing is not None and charged(story, placing)[3] not in ("", event.currency):
            counted[event.source] += 1
    return dict(counted)


def effect(model: NaiveModel, event: Touchpoint) -> str:
    meaning = model.meaning(event)
    return meaning.order if meaning else ""


def emptied(model: NaiveModel, earlier: Sequence[Touchpoint], cycle: Sequence[Touchpoint]) -> bool:
    """Whether the last change of the cart in this cycle took its last line away."""
    is_emptied = False
    events = [*earlier, *cycle]
    carts, firsts = carts_after(model, events), first_placings(model, events)
    for n in range(len(earlier), len(events)):
        event = events[n]
        meaning = model.meaning(event)
        if meaning is None:
            continue
        before, after = carts[n - 1] if n else {}, carts[n]
        if firsts[n] or (meaning.cart == "add" and any(quantity > 0 for _, quantity in changes(event))):
            is_emptied = False
        elif meaning.cart == "remove":
            is_emptied = not after
        elif meaning.cart == "replace" and event.items:
            is_emptied = not after and (is_emptied or bool(before))
    return is_emptied


def cart(model: NaiveModel, events: Sequence[Touchpoint]) -> dict[str, float]:
    """The products in the cart after these events."""
    return carts_after(model, events)[-1] if events else {}


def carts_after(model: NaiveModel, events: Sequence[Touchpoint]) -> list[dict[str, float]]:
    """The products in the cart after each of these events."""
    carts: list[dict[str, float]] = []
    content: dict[str, float] = {}
    for event, is_first in zip(events, first_placings(model, events), strict=True):
        meaning = model.meaning(event)
        if is_first:
            content = {}
        if meaning is not None and meaning.cart == "replace" and event.items:
            content = {}
            for product, quantity, _ in lines(event):
                content[product] = content.get(product, 0.0) + max(0.0, quantity)
        elif meaning is not None and meaning.cart in ("add", "remove"):
            content = {**content}
            for product, quantity in changes(event):
                signed = quantity if meaning.cart == "add" else -quantity
                content[product] = max(0.0, content.get(product, 0.0) + signed)
        content = {product: quantity for product, quantity in content.items() if quantity}
        carts.append(content)
    return carts


def first_placings(model: NaiveModel, events: Sequence[Touchpoint]) -> list[bool]:
    """Whether each of these events is the first to place its order."""
    placed: set[tuple[str, str]] = set()
    firsts = []
    for event in events:
        is_placing = effect(model, event) in PLACING
        firsts.append(is_placing and order_of(event) not in placed)
        if is_placing:
            placed.add(order_of(event))
    return firsts


def changes(event: Touchpoint) -> list[tuple[str, float]]:
    """Which product an event is about, or which ones if it names several, and how many of each."""
    if event.product_id or not lines(event):
        return [(event.product_id, 1.0 if event.quantity is None else max(0.0, event.quantity))]
    return [(product, max(0.0, quantity)) for product, quantity, _ in lines(event)]


def says_nothing(model: NaiveModel, events: Sequence[Touchpoint]) -> bool:
    """Whether the last event is of a whole cart that is empty and was."""
    meaning = model.meaning(events[-1])
    is_whole = meaning is not None and meaning.cart == "replace" and bool(events[-1].items)
    return is_whole and not cart(model, events) and not cart(model, events[:-1])


def holds(
    model: NaiveModel, guard: str, phase: int, earlier: Sequence[Touchpoint], cycle: Sequence[Touchpoint]
) -> bool:
    """Whether a guard holds for the last event of the cycle.

    Args:
        phase: the customer's phase; 0 when it returns after a lapse.
        earlier: the events before this cycle.
        cycle: the events of this cycle, this one included.
    """
    event = cycle[-1]
    orders = standing(model, [*earlier, *cycle])
    match guard.split():
        case ["first_page"]:
            return not any(past.page for past in map(model.meaning, cycle[:-1]) if past)
        case ["purchased"]:
            return bool(orders)
        case ["live_order"]:
            return order_of(event) in orders
        case ["repeat_order"]:
            return order_of(event) in orders[1:]
        case ["rated_well"]:
            return event.rating is not None and event.rating >= 4
        case ["promoter"]:
            return event.score is not None and event.score >= 9
        case ["before", name]:
            return phase < model.phases.index(name)
    raise ValueError(f"{model.name}: the reference does not know the guard {guard!r}")
