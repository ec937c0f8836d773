"""What is asked of facts and transitions, by looking at each customer's: openings of cycles, ends of stays, visits."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from tests.reference.links import RULINGS, distinct
from tests.reference.models import NaiveModel
from tests.reference.replay import Customer
from tests.reference.trail import HALF_HOUR_US, fact, path
from tests.reference.walk import LAPSE, NaiveTransition, in_order
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import Touchpoint


def facts_of(log: Iterable[Touchpoint], customer: Customer) -> list[Touchpoint]:
    """All facts of a customer that are in journeys, in order; a message id of two ids comes twice."""
    facts = [event for event in distinct(log) if event.actor in customer.members]
    return sorted(
        (event for event in facts if not event.bot and not event.test and event.call not in RULINGS),
        key=lambda event: event.order_key,
    )


def openings(customer: Customer, name: str) -> dict[int, str]:
    """Cycle -> the value of a dimension of its opening."""
    values: dict[int, str] = {}
    for step in customer.transitions:
        assert step.told is not None
        value = str(min(step.cycle, 3)).replace("3", "3+") if name == "cycle" else getattr(step.told, name)
        assert values.setdefault(step.cycle, value or "(none)") == (value or "(none)")
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


def ends(customer: Customer, phase: int) -> Counter[tuple[str, str, str | int]]:
    """("kind", outcome, kind), ("last", "", kind) and ("day", "", start of the day) -> stays."""
    counts: Counter[tuple[str, str, str | int]] = Counter()
    for _, end, outcome in stays(customer, phase):
        if end is None or end.told is None or outcome == "ended" or not end.told.kinds:
            continue
        kinds = end.told.kinds.split(",")
        counts.update(("kind", outcome, kind) for kind in set(kinds))
        if outcome == "lapsed":
            counts["last", "", kinds[-1]] += 1
            counts["day", "", end.told.active_us // DAY_US * DAY_US] += 1
    return counts


def kind_paths(
    model: NaiveModel, events: Sequence[Touchpoint], customer: Customer, goal: int
) -> Counter[tuple[str, bool, bool]]:
    """(kinds of the cycle without repeats in a row, whether it came to the goal, whether it lapsed) -> cycles."""
    counts: Counter[tuple[str, bool, bool]] = Counter()
    for number in {step.cycle for step in customer.transitions}:
        cycle = [step for step in customer.transitions if step.cycle == number]
        is_reached = any(step.kind != LAPSE and step.target >= goal for step in cycle)
        counts[path(model, events, [step[:8] for step in cycle]), is_reached, cycle[-1].kind == LAPSE] += 1
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
