"""Touches and paths, by looking at each customer's facts one after the other, from the rules of docs/analytics.md."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from tests.reference.asked import facts_of
from tests.reference.replay import Customer, Replayed
from tests.reference.walk import LAPSE, NaiveTransition, in_order
from throughline.journey.durations import MINUTE_US
from throughline.journey.touchpoint import Touchpoint

HALF_HOUR_US = 30 * MINUTE_US
IsOwn = Callable[[Touchpoint], bool]
KindOf = Callable[[Touchpoint], str | None]


class NaiveTouch(NamedTuple):
    at_us: int
    channel: str
    value: str
    is_exposure: bool = False


class NaivePath(NamedTuple):
    customer: str
    order: str | None
    """None: a cycle that ended without one."""
    currency: str | None
    gross: int
    net: int
    at_us: int
    touches: tuple[NaiveTouch, ...]


def origin_of(event: Touchpoint) -> str:
    """What an event says of where it came from; "" for nothing."""
    facts = {name: value for name, value in json.loads(event.attribution or "{}").items() if name != "device"}
    return f"{event.channel} {json.dumps(facts, sort_keys=True)}" if facts or event.channel != "direct" else ""


def channel_of(event: Touchpoint, kind: str | None) -> str:
    """Where an event says nothing, its kind may."""
    by_kind = {"store_visit": "store_visit", "ad_shown": "display"}
    name = event.name.lower().replace(" ", "").replace("_", "")
    if event.channel != "direct":
        return event.channel
    if kind in ("message_clicked", "message_delivered"):
        return next((channel for channel in ("email", "push", "sms") if name.startswith(channel)), event.channel)
    return by_kind.get(kind or "", {"adclick": "display", "call": "call"}.get(name, event.channel))


def value_of(event: Touchpoint, channel: str, by: str) -> str:
    if by == "channel":
        return channel
    facts = json.loads(event.attribution or "{}")
    value = facts.get("device", {}).get("type") if by == "device" else facts.get(by)
    return "(not set)" if value is None else value


def touches_of(
    events: Sequence[Touchpoint], by: str, kind_of: KindOf, is_own: IsOwn, *, exposures: bool
) -> list[NaiveTouch]:
    """All touches of a customer, in order."""
    touches: list[NaiveTouch] = []
    last_own_us: int | None = None
    last_origin = ""
    for event in events:
        kind, name = kind_of(event), event.name.lower().replace(" ", "").replace("_", "")
        channel = channel_of(event, kind)
        touch = NaiveTouch(event.occurred_us, channel, value_of(event, channel, by))
        if exposures and kind in ("ad_shown", "message_delivered"):
            touches.append(touch._replace(is_exposure=True))
        if not is_own(event):
            continue
        opens = last_own_us is None or event.occurred_us - last_own_us >= HALF_HOUR_US
        if opens:
            last_origin = ""
        origin = origin_of(event)
        by_kind = kind in ("message_clicked", "store_visit") or name in ("adclick", "call")
        if opens or by_kind or (origin and origin != last_origin):
            touches.append(touch)
        last_own_us = event.occurred_us
        last_origin = origin or last_origin
    return touches


def paths_of(
    log: Sequence[Touchpoint],
    replayed: Replayed,
    kind_of: KindOf,
    is_own: IsOwn,
    *,
    by: str,
    lookback_us: int,
    scope: str,
    exposures: bool,
    goal: int | str | None = None,
) -> list[NaivePath]:
    """The path of every live order (else of every entry into a phase), and of every cycle that ended without one."""
    paths: list[NaivePath] = []
    for name, customer in replayed.customers.items():
        events = in_order(facts_of(log, customer))
        touches = touches_of(events, by, kind_of, is_own, exposures=exposures)
        orders = conversions_of(name, replayed, goal, events, kind_of)
        times = [order[0] for order in orders]

        def before(
            end_us: int,
            began_us: int | None,
            customer_times: Sequence[int] = times,
            all_touches: Sequence[NaiveTouch] = touches,
            previous_to: int | None = None,
        ) -> tuple[NaiveTouch, ...]:
            after_us = end_us - lookback_us
            if scope == "cycle" and began_us is not None:
                after_us = max(after_us, began_us - HALF_HOUR_US - 1)
            if scope == "since_previous":
                earlier = [
                    at_us for at_us in customer_times if at_us < (end_us if previous_to is None else previous_to)
                ]
                after_us = max([after_us, *earlier])
            within = [touch for touch in all_touches if after_us < touch.at_us <= end_us]
            return tuple(within) if len(within) <= 64 else (*within[:8], *within[-56:])

        begins = [cycle[0].at_us for cycle in _cycles(customer)]
        for at_us, order, gross, net, currency in orders:
            began_us = max((each for each in begins if each <= at_us), default=None)
            paths.append(NaivePath(name, order, currency, gross, net, at_us, before(at_us, began_us)))
        for cycle in _cycles(customer):
            began_us, end = cycle[0].at_us, cycle[-1]
            if end.kind != LAPSE or any(began_us <= at_us <= end.at_us for at_us in times):
                continue
            times_of_own = [event.occurred_us for event in events if is_own(event) and event.occurred_us <= end.at_us]
            left_us = max([began_us, *times_of_own])
            touched = before(left_us, began_us, previous_to=began_us)
            paths.append(NaivePath(name, None, None, 0, 0, end.at_us, touched))
    return paths


def conversions_of(
    name: str, replayed: Replayed, goal: int | str | None, events: Sequence[Touchpoint], kind_of: KindOf
) -> list[tuple[int, str, int, int, str]]:
    """When, name, gross, net, currency of live orders, of entries into a phase, or of events of a kind."""
    if isinstance(goal, str):
        return [(event.occurred_us, event.message_id, 0, 0, "") for event in events if kind_of(event) == goal]
    if goal is not None:
        entries = replayed.customers[name].transitions
        return [
            (step.at_us, str(step.cycle), 0, 0, "") for step in entries if step.kind != LAPSE and step.target == goal
        ]
    return sorted(
        (at_us, order, gross, net, currency)
        for (owner, order), (at_us, gross, net, currency) in replayed.conversions.items()
        if owner == name
    )


def _cycles(customer: Customer) -> list[list[NaiveTransition]]:
    return [
        [step for step in customer.transitions if step.cycle == number]
        for number in sorted({step.cycle for step in customer.transitions})
    ]


def open_cycles(
    log: Sequence[Touchpoint], replayed: Replayed, kind_of: KindOf, span: tuple[int, int], goal: int | str | None
) -> int:
    """The cycles that go on without a live order, of customers last seen in a span."""
    number = 0
    for name, customer in replayed.customers.items():
        cycles = _cycles(customer)
        if not cycles or customer.state.lapsed_us or not span[0] <= customer.state.last[0] < span[1]:
            continue
        events = facts_of(log, customer)
        times = [conversion[0] for conversion in conversions_of(name, replayed, goal, events, kind_of)]
        number += not any(at_us >= cycles[-1][0].at_us for at_us in times)
    return number


def leave_one_out(paths: Mapping[tuple[str, ...], tuple[int, int]]) -> dict[str, float]:
    """What some tools sell as the Shapley value: by how much a path's rate exceeds that of the path without the touch,
    never below nothing; conversions and nulls of each path -> credit of each value."""

    def rate(path: tuple[str, ...]) -> float:
        conversions, nulls = paths.get(path, (0, 0))
        return conversions / (conversions + nulls) if conversions + nulls else 0.0

    credit: dict[str, float] = {}
    for path, (conversions, _) in paths.items():
        if not path:
            continue
        parts = [max(0.0, rate(path) - rate(path[:n] + path[n + 1 :])) for n in range(len(path))]
        if len(path) == 1 or not sum(parts):
            parts = [0.0] * (len(path) - 1) + [1.0]
        for value, part in zip(path, parts, strict=True):
            credit[value] = credit.get(value, 0.0) + conversions * part / sum(parts)
    return credit
