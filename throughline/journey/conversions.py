"""Conversions: the live orders of a customer, read off the ledgers of a journey's memory.

A conversion is an order that stands, at the time of its placing. So conversions follow from the journey alone: a late
event, a join or a refund changes the memory, and the difference of two memories is what changes of the conversions.
"""

import json
from collections.abc import Iterator
from typing import NamedTuple

from throughline.journey.ledger import Order
from throughline.journey.memory import Memory

_decode = json.JSONDecoder().raw_decode


class Conversion(NamedTuple):
    """A live order. Amounts are in minor units of its currency, with four decimals where that is not known ("")."""

    order: str
    """Key of the order (`guards.order_key`)."""
    at_us: int
    """When it was first placed."""
    gross: int
    """What was charged; 0 where nobody said."""
    net: int
    """What was charged, less what was paid back."""
    currency: str


class Changed(NamedTuple):
    """What changes of a customer's conversions."""

    removed: list[str]
    """Keys of orders that are no conversions any more."""
    written: list[Conversion]
    """Those that are new, or others than before."""


NOTHING = Changed([], [])


def conversions_of(memory: str) -> list[Conversion]:
    """Returns the conversions in a journey's memory, in the order of placing."""
    orders = Memory.load(memory, 0).orders
    return [conversion for key, order in orders.items() if (conversion := _conversion(key, order)) is not None]


def changed_conversions(before: str, after: str) -> Changed:
    """Returns what changes of the conversions when a journey's memory becomes another one."""
    if before == after:
        return NOTHING
    ledger, new_ledger = _ledger(before), _ledger(after)
    if ledger is None or new_ledger is None:
        # A memory of before there were ledgers.
        old = {conversion.order: conversion for conversion in conversions_of(before)}
        new = {conversion.order: conversion for conversion in conversions_of(after)}
        return Changed([key for key in old if key not in new], [c for key, c in new.items() if old.get(key) != c])
    if ledger == new_ledger:
        return NOTHING
    if new_ledger.startswith(ledger[:-1]) and new_ledger[len(ledger) - 1 : len(ledger)] == ",":
        # Most often an order is added behind those that are there.
        ledger, new_ledger = "", f"{{{new_ledger[len(ledger) :]}"
    entries = _decode(ledger)[0] if ledger else {}
    new_entries = _decode(new_ledger)[0] if new_ledger else {}
    removed: list[str] = []
    written: list[Conversion] = []
    for key, entry in new_entries.items():
        entry_before = entries.get(key)
        if entry_before == entry:
            continue
        conversion = _conversion(key, Order(*entry))
        conversion_before = None if entry_before is None else _conversion(key, Order(*entry_before))
        if conversion is None:
            if conversion_before is not None:
                removed.append(key)
        elif conversion != conversion_before:
            written.append(conversion)
    removed += _gone(entries, new_entries)
    return Changed(removed, written)


def _gone(entries: dict[str, list[object]], new_entries: dict[str, list[object]]) -> Iterator[str]:
    for key, entry in entries.items():
        if key not in new_entries and Order(*entry).stands:  # type: ignore[arg-type]
            yield key


def _ledger(memory: str) -> str | None:
    """The text of the ledgers; None: of a memory of before there were any."""
    if not memory:
        return ""
    head, _, ledger = memory.partition("\n")
    return None if not ledger and ('"orders":' in head or '"cancelled":' in head) else ledger


def _conversion(key: str, order: Order) -> Conversion | None:
    if not order.stands:
        return None
    gross, net = order.amounts
    return Conversion(key, order.placed_us, gross, net, order.currency)
