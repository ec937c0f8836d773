"""The fold: touchpoints in order, one after another, move a customer through the model's phases.

state = f(facts, watermark): folding on from a state equals folding everything anew, as long as every new touchpoint is
later than those folded (`Journey.is_late` tells). Within a cycle a customer only moves forward; skipped phases are not
entered. A silence of at least the phase's window is a lapse (`lapse.py`); the return from one opens a new cycle.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from throughline.journey.guards import order_key
from throughline.journey.lapse import NEVER, due_in, due_us, lapse_at
from throughline.journey.ledger import Report
from throughline.journey.memory import CHURNED, EMPTIED, PAGED, Memory
from throughline.journey.milestones import after
from throughline.journey.model import UNPLACED, Kind, Model, Rule
from throughline.journey.money import lines_of, only_line
from throughline.journey.state import ENTER, RETURN, Journey, Transition
from throughline.journey.touchpoint import Touchpoint

_new: Callable[..., Any] = tuple.__new__  # a NamedTuple's own __new__ is Python and three times slower


class Folded(NamedTuple):
    """The result of a fold."""

    journey: Journey | None
    """The new state; None for a customer without touchpoints."""
    transitions: list[Transition]
    """Transitions from the state before to the new one, in order."""
    revoked: Transition | None
    """The lapse of the state before, when a touchpoint occurred before that lapse: it never was."""


Follow = Callable[[Model, Journey | None, Sequence[Touchpoint], list[Transition], Transition | None], str]
"""`follow` of `trail.py`."""


def fold(
    model: Model,
    journey: Journey | None,
    touchpoints: Sequence[Touchpoint],
    watermark_us: int = 0,
    follow: Follow | None = None,
) -> Folded:
    """Fold sorted touchpoints onto a journey, then apply a lapse that is due.

    Args:
        journey: the state so far, None for a customer not seen before; every touchpoint must come after its last one.
        touchpoints: sorted, with distinct message ids.
        watermark_us: a lapse due by then has happened.
        follow: gives the trail; None: the journey has none.
    """
    transitions: list[Transition] = []
    revoked: Transition | None = None
    last: Touchpoint | None = None
    memory: Memory | None = None
    if journey is None:
        phase = highest = UNPLACED
        cycle = 1
        lapsed_us = entered_us = active_us = flags = source = first_us = 0
        channel = text = milestones = trail = ""
        due = NEVER
    else:
        phase, highest, cycle, lapsed_us, entered_us, active_us, flags, source, channel, first_us = journey[:10]
        text, milestones, trail = journey[14:]
        due = due_us(model, journey)
    churned = bool(flags & CHURNED)
    memory_changed = False
    phases = model.phases
    kinds = model.kinds
    # Fields are read by their places where every touchpoint passes: by name each costs three times as much.
    for last in touchpoints:
        at_us = last[0]
        if memory is None:
            memory = Memory.load(text, flags)
            if journey is None:
                entered_us = active_us = first_us = at_us
                source, channel = last.source, last.channel
            elif at_us < lapsed_us:
                revoked = lapse_at(lapsed_us, phase, cycle, churned)
                lapsed_us, churned = 0, False
                due = due_in(phases[phase - 1], journey.last_us, active_us, memory.emptied)
        if at_us >= due:
            churned = memory.standing > 0
            transitions.append(lapse_at(due, phase, cycle, churned))
            lapsed_us, due = due, NEVER
        kind = kinds[last[4]][last[5]]
        if kind is None:
            if not lapsed_us:
                active_us = at_us
                if phase:
                    due = due_in(phases[phase - 1], at_us, active_us, memory.emptied)
            continue
        if lapsed_us:
            # What is remembered of a page and a cart from here on belongs to the next cycle, if there is one.
            memory.paged = memory.emptied = False
        _, rules, order, cart, is_page, by_customer, _ = kind
        may_place = True
        if order or cart:
            memory_changed = True
            may_place = _remember(memory, kind, last)
        rule: Rule | None = None
        if may_place and (not lapsed_us or by_customer):
            phase_before = UNPLACED if lapsed_us else phase
            # Functions called for each touchpoint would take a tenth of the fold: this loop and the end of the other.
            for candidate in rules:
                for guard in candidate[1]:
                    if not guard(memory, last, phase_before):
                        break
                else:
                    rule = candidate
                    break
        if is_page:
            memory.paged = True
        if lapsed_us and rule is None:
            continue
        if rule is not None and (lapsed_us or rule[2] > phase):
            cycle += bool(lapsed_us)
            step = RETURN if lapsed_us else ENTER
            rule_name, _, to_phase, _ = rule
            place, message_id, actor = last[1], last[2], last[3]
            move = (at_us, place, message_id, actor, step, phase, to_phase, cycle, last[5], rule_name, 0, 0, "", "", "")
            transitions.append(_new(Transition, move))
            phase = to_phase
            if phase > highest:
                highest = phase
            entered_us = at_us
            lapsed_us, churned = 0, False
        if by_customer:
            active_us = at_us
        if rule is not None and rule.ends and rule.phase == phase:
            churned = memory.standing > 0
            transitions.append(lapse_at(at_us, phase, cycle, churned, last))
            lapsed_us, due = at_us, NEVER
        elif phase:
            window = phases[phase - 1]
            due = active_us + (window[4] if memory.emptied else window[3])  # as `due_in` says
            if due <= at_us:
                due = at_us + 1
    if due <= watermark_us:
        if memory is None:
            memory = Memory.load(text, flags)
        churned = memory.standing > 0
        transitions.append(lapse_at(due, phase, cycle, churned))
        lapsed_us = due
    if memory is None:
        return Folded(journey, transitions, revoked)
    if follow is not None:
        trail = follow(model, journey, touchpoints, transitions, revoked)
    if last is not None:
        last_key = last[:4]
    else:
        assert journey is not None  # nothing else is due
        last_key = journey.last_key
    flags = (PAGED if memory.paged else 0) | (EMPTIED if memory.emptied else 0) | (CHURNED if churned else 0)
    state = _new(
        Journey,
        (
            phase,
            highest,
            cycle,
            lapsed_us,
            entered_us,
            active_us,
            flags,
            source,
            channel,
            first_us,
            *last_key,
            memory.dump() if memory_changed else text,
            after(milestones, transitions, revoked) if transitions or revoked is not None else milestones,
            trail,
        ),
    )
    folded: Folded = _new(Folded, (state, transitions, revoked))
    return folded


def distinct(touchpoints: Iterable[Touchpoint]) -> list[Touchpoint]:
    """Returns a customer's touchpoints sorted, each message id once: of cross-id duplicates the earliest counts."""
    seen: set[str] = set()
    unique: list[Touchpoint] = []
    for touchpoint in sorted(touchpoints):
        if touchpoint.message_id not in seen:
            seen.add(touchpoint.message_id)
            unique.append(touchpoint)
    return unique


def _remember(memory: Memory, kind: Kind, touchpoint: Touchpoint) -> bool:
    """Remember what a touchpoint does to orders and cart. Returns whether it may place the customer."""
    items = touchpoint.items
    if kind.order:
        key = order_key(touchpoint)
        named = "" if items == "[]" else items
        if not named and touchpoint.product_id and kind.order == "refund":
            named = only_line(touchpoint.product_id, touchpoint.quantity)
        report: Report = _new(Report, (touchpoint.total, touchpoint.value, touchpoint.currency, named))
        if kind.order in ("place", "pay"):
            memory.place(key, touchpoint.occurred_us, report, is_payment=kind.order == "pay")
        elif kind.order == "cancel":
            memory.cancel(key, touchpoint.occurred_us, touchpoint.source)
        elif kind.order == "refund":
            memory.refund(key, report, touchpoint.source)
        else:
            memory.edit(key, report)
    if kind.cart == "replace":
        if items:
            had_lines = bool(memory.cart)
            memory.replace_cart(lines_of(items))
            # A cart that never had a line says nothing.
            return had_lines or bool(memory.cart)
    elif kind.cart:
        change = memory.add if kind.cart == "add" else memory.remove
        lines = lines_of(items) if items and not touchpoint.product_id else ()
        if not lines:
            change(touchpoint.product_id, touchpoint.quantity)
        else:
            for line in lines:
                change(line.product, line.quantity)
    return True
