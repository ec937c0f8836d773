"""Who brought whom: codes, their owners, and the forest of customers that they make. Pure.

A code belongs to the customer who claimed it first. A customer is brought by the first code that it came with before
its first order. Its own code brings nobody, and of a ring the last edge is cut.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from throughline.analytics.survival import Cohort, age_at, grouped, incidence
from throughline.journey.funnel import EDGES_US


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
    unclaimed: list[Arrival]
    """Came with a code that nobody has claimed."""
    self_referred: list[Arrival]
    """Came with a code of their own."""
    rings: list[Arrival]
    """Were brought by somebody whom they had brought, or whom those had."""


def network(owners: Mapping[str, bytes], arrivals: Iterable[Arrival]) -> Network:
    """Returns who brought whom.

    Args:
        owners: code -> the customer who claimed it first.
        arrivals: one of each customer, in any order.
    """
    result = Network([], [], [], [])
    top: dict[bytes, bytes] = {}
    for arrival in sorted(arrivals):
        advocate = owners.get(arrival.code)
        if advocate is None:
            result.unclaimed.append(arrival)
        elif advocate == arrival.customer:
            result.self_referred.append(arrival)
        elif _first_advocate(top, advocate) == arrival.customer:
            result.rings.append(arrival)
        else:
            top[arrival.customer] = advocate
            result.referrals.append(Referral(arrival.at_us, arrival.customer, advocate, arrival.code))
    return result


def _first_advocate(top: dict[bytes, bytes], customer: bytes) -> bytes:
    """The customer from whom a chain of referrals starts; paths are halved on the way, so that chains stay short."""
    while (advocate := top.get(customer)) is not None:
        further = top.get(advocate)
        if further is None:
            return advocate
        top[customer] = further
        customer = further
    return customer


class Quartiles(NamedTuple):
    """Ages in microseconds that a quarter, half and three quarters of all have come to; None: so many never do."""

    p25: float | None
    p50: float | None
    p75: float | None


def cycle_time(spells: Iterable[tuple[int, int | None]], now_us: int) -> Quartiles:
    """Returns how long it takes from a share to the order that it led to, of all who came, not only of buyers.

    Args:
        spells: of each customer, when the code was shared, and when it ordered first; None: it has not yet.
        now_us: until when all is known.
    """
    by_seen: dict[int, Cohort] = {}
    for started_us, ended_us in spells:
        seen_us = max(0, now_us - started_us)
        seen = bisect_right(EDGES_US, seen_us) - 1
        before = by_seen.get(seen, Cohort(EDGES_US[seen], 0, {}))
        ends = dict(before.ends)
        if ended_us is not None:
            key = (1, bisect_right(EDGES_US, max(0, ended_us - started_us)) - 1)
            ends[key] = ends.get(key, 0) + 1
        by_seen[seen] = before._replace(entries=before.entries + 1, ends=ends)
    curve = incidence(grouped([*by_seen.values()], EDGES_US)).incidence.get(1, ())
    return Quartiles(*(age_at(share, curve, EDGES_US) for share in (0.25, 0.5, 0.75)))
