"""A second reader of model files, and the meaning of guards: questions about the list of events so far."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
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
            meaning = Meaning(
                kind=kind,
                rules=tuple(
                    Rule(kind, tuple(rule.get("when", [])), phases.index(rule["phase"]), rule.get("ends", False))
                    for rule in document["rules"].get(kind, [])
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
    """The orders that were placed and neither cancelled nor refunded in full, in the order of their placing."""
    undone = {order_of(event) for n, event in enumerate(events) if undoes(model, events[:n], event)}
    placed = [order_of(event) for event in events if effect(model, event) == "place"]
    return [order for order in dict.fromkeys(placed) if order not in undone]


def undoes(model: NaiveModel, earlier: Sequence[Touchpoint], event: Touchpoint) -> bool:
    """Whether an event cancels its order or refunds it in full: at least the value with which it was first placed."""
    if effect(model, event) == "refund" and event.value is not None:
        values = [
            past.value
            for past in earlier
            if effect(model, past) == "place" and order_of(past) == order_of(event) and past.value is not None
        ]
        return bool(values) and event.value >= values[0]
    return effect(model, event) in ("cancel", "refund")


def effect(model: NaiveModel, event: Touchpoint) -> str:
    meaning = model.meaning(event)
    return meaning.order if meaning else ""


def emptied(model: NaiveModel, earlier: Sequence[Touchpoint], cycle: Sequence[Touchpoint]) -> bool:
    """Whether the last change of the cart in this cycle is a removal that left it empty."""
    cart: dict[str, float] = {}
    is_emptied = False
    for n, event in enumerate([*earlier, *cycle]):
        meaning = model.meaning(event)
        if meaning is None or not (meaning.cart or meaning.order == "place"):
            continue
        count = 1.0 if event.quantity is None else max(0.0, event.quantity)
        if meaning.cart == "add" and not count:
            continue
        if meaning.order == "place":
            cart = {}
        elif meaning.cart == "add":
            cart[event.product_id] = max(0.0, cart.get(event.product_id, 0.0) + count)
        elif meaning.cart == "remove":
            cart[event.product_id] = max(0.0, cart.get(event.product_id, 0.0) - count)
        is_emptied = meaning.cart == "remove" and not any(cart.values()) and n >= len(earlier)
    return is_emptied


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
