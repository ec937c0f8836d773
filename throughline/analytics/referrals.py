"""Who brought whom: codes, their owners, and the forest of customers that they make. Pure.

A code belongs to the customer who claimed it first. A customer is brought by the first code that it came with before
its first order. Its own code brings nobody, and of a ring the last edge is cut.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Arrival(NamedTuple):
    """The first code with which a customer came."""

    at_us: int
    customer: bytes
    code: str


class Referral(NamedTuple):
    """That one customer brought another one."""

    at_us: int
    customer: bytes
    advocate: bytes
    code: str


class Network(NamedTuple):
    """All referrals, in order, and the arrivals that are none."""

    referrals: list[Referral]
    unclaimed: int
    """Came with a code that nobody has claimed."""
    self_referred: int
    """Came with a code of their own."""
    rings: int
    """Were brought by somebody whom they had brought, or whom those had."""


def network(owners: Mapping[str, bytes], arrivals: Iterable[Arrival]) -> Network:
    """Returns who brought whom.

    Args:
        owners: code -> the customer who claimed it first.
        arrivals: one of each customer, in any order.
    """
    referrals: list[Referral] = []
    unclaimed = self_referred = rings = 0
    top: dict[bytes, bytes] = {}
    for arrival in sorted(arrivals):
        advocate = owners.get(arrival.code)
        if advocate is None:
            unclaimed += 1
        elif advocate == arrival.customer:
            self_referred += 1
        elif _first_advocate(top, advocate) == arrival.customer:
            rings += 1
        else:
            top[arrival.customer] = advocate
            referrals.append(Referral(arrival.at_us, arrival.customer, advocate, arrival.code))
    return Network(referrals, unclaimed, self_referred, rings)


def _first_advocate(top: dict[bytes, bytes], customer: bytes) -> bytes:
    """The customer from whom a chain of referrals starts; paths are halved on the way, so that chains stay short."""
    while (advocate := top.get(customer)) is not None:
        further = top.get(advocate)
        if further is None:
            return advocate
        top[customer] = further
        customer = further
    return customer
