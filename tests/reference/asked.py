"""What is asked of facts and transitions, by looking at each customer's: openings of cycles, ends of stays, visits."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tests.reference.links import RULINGS, distinct
from tests.reference.replay import Customer
from tests.reference.walk import LAPSE, NaiveTransition, in_order
from throughline.journey.durations import DAY_US, MINUTE_US
from throughline.journey.touchpoint import Touchpoint

HALF_HOUR_US = 30 * MINUTE_US
KindOf = Callable[[Touchpoint], str | None]


def facts_of(log: Iterable[Touchpoint], customer: Customer) -> list[Touchpoint]:
    """All facts of a customer that are in journeys, in order; a message id of two ids comes twice."""
    facts = [event for event in distinct(log) if event.actor in customer.members]
    return sorted(
        (event for event in facts if not event.bot and not event.test and event.call not in RULINGS),
        key=lambda event: event.order_key,
    )


def fact(event: Touchpoint, name: str) -> str:
    facts = json.loads(event.attribution or "{}")
    value = facts.get("device", {}).get("type") if name == "device" else facts.get(name)
    return value or ""


def openings(facts: Sequence[Touchpoint], customer: Customer, name: str) -> dict[int, str]:
    """Cycle -> the value of a dimension of its opening."""
    values: dict[int, str] = {}
    for step in customer.transitions:
        if step.cycle in values:
            continue
        if name == "cycle":
            values[step.cycle] = str(step.cycle) if step.cycle < 3 else "3+"
        else:
            near = [event for event in facts if step.at_us - HALF_HOUR_US <= event.occurred_us <= step.at_us]
            values[step.cycle] = next(filter(None, (fact(event, name) for event in near)), "(none)")
    return values


def stays(customer: Customer, phase: int) -> list[tuple[NaiveTransition, NaiveTransition | None, str]]:
    """The stays in a phase: entry, end, outcome."""
    result: list[tuple[NaiveTransition, NaiveTransition | None, str]] = []
    for step, after in pairwise([*customer.transitions, None]):
        if step is None or step.kind == LAPSE or step.target != phase:
            continue
        if after is None:
            result.append((step, None, "still"))
        elif after.kind != LAPSE:
            result.append((step, after, "advanced"))
        else:
            result.append((step, after, "ended" if after.message_id else "lapsed"))
    return result


def ends(
    facts: Sequence[Touchpoint], customer: Customer, phase: int, kind_of: KindOf, is_own: Callable[[Touchpoint], bool]
) -> Counter[tuple[str, str, str | int | None]]:
    """("kind", outcome, kind), ("last", "", kind) and ("day", "", start of the day) -> stays."""
    counts: Counter[tuple[str, str, str | int | None]] = Counter()
    for _, end, outcome in stays(customer, phase):
        if end is None or outcome == "ended":
            continue
        before = [event for event in facts if is_own(event) and event.order_key < end[:4]]
        counts.update(("kind", outcome, kind) for kind in {kind_of(event) for event in before[-3:]})
        if before and outcome == "lapsed":
            counts["last", "", kind_of(before[-1])] += 1
            counts["day", "", before[-1].occurred_us // DAY_US * DAY_US] += 1
    return counts


def kind_paths(
    facts: Sequence[Touchpoint], customer: Customer, goal: int, kind_of: KindOf, is_own: Callable[[Touchpoint], bool]
) -> Counter[tuple[tuple[str, ...], bool, bool]]:
    """(kinds of the cycle without repeats in a row, whether it came to the goal, whether it lapsed) -> cycles."""
    counts: Counter[tuple[tuple[str, ...], bool, bool]] = Counter()
    for number in {step.cycle for step in customer.transitions}:
        cycle = [step for step in customer.transitions if step.cycle == number]
        has_lapsed = cycle[-1].kind == LAPSE
        path: list[str] = []
        for event in in_order(facts):
            kind = kind_of(event)
            is_within = event.order_key >= cycle[0][:4] and (not has_lapsed or event.occurred_us < cycle[-1].at_us)
            if not is_within or kind is None or not is_own(event):
                continue
            path += [kind] if path[-1:] != [kind] else []
        is_reached = any(step.kind != LAPSE and step.target >= goal for step in cycle)
        counts[tuple(path[:40]), is_reached, has_lapsed] += 1
    return counts


def visits(
    log: Iterable[Touchpoint],
    customer: Customer,
    is_at: Callable[[Touchpoint], bool],
    is_beyond: Callable[[Touchpoint], bool],
    is_own: Callable[[Touchpoint], bool],
) -> list[tuple[str, str, datetime, bool, bool, list[Touchpoint]]]:
    """(channel, device, week, went on in the visit, within a day, touchpoints) of each visit that came to the phase."""
    events = [event for event in in_order(facts_of(log, customer)) if is_own(event)]
    groups: list[list[Touchpoint]] = []
    for event in events:
        if not groups or event.occurred_us - groups[-1][-1].occurred_us >= HALF_HOUR_US:
            groups.append([])
        groups[-1].append(event)
    result = []
    for group in groups:
        at = [event.occurred_us for event in group if is_at(event)]
        if not at:
            continue
        later = [event.occurred_us for event in events if event.order_key >= group[0].order_key and is_beyond(event)]
        devices = [device for device in (fact(event, "device") for event in group) if device]
        start = datetime.fromtimestamp(group[0].occurred_us // 1_000_000, UTC).replace(hour=0, minute=0, second=0)
        result.append(
            (
                min(event.channel for event in group if event.order_key[:2] == group[0].order_key[:2]),
                min(devices, default="(none)"),
                start - timedelta(days=start.weekday()),
                any(map(is_beyond, group)),
                bool(later) and later[0] <= at[0] + DAY_US,
                group,
            )
        )
    return result
