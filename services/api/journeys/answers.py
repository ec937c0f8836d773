"""A customer's journey as the API tells it, from the stored rows. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from services.api.journeys.queries import IdRow, TouchpointRow
from services.api.phases.answers import instant
from services.api.shared.cursors import encode_cursor
from throughline.journey.identity import ALIAS
from throughline.journey.lapse import due_us
from throughline.journey.memory import CHURNED
from throughline.journey.model import UNPLACED, Model
from throughline.journey.state import ABANDONED, CHURNED_NAME, ENTER, LAPSE, RETURN, Journey, Transition
from throughline.kit.clock import MAX_US, rfc3339

SECOND_US = 1_000_000
MOST_IDS = 1000

_KINDS = {ENTER: "enter", RETURN: "return", LAPSE: "lapse"}

Names = Mapping[int, str | None]


class Customer(NamedTuple):
    """Who a journey is of, and all that is known of it."""

    id: str
    digest: bytes
    journey: Journey
    transitions: Sequence[Transition]
    ids: Sequence[IdRow]
    """Of its own id and all that belong to it."""


class Touchpoints(NamedTuple):
    """A page of touchpoints, newest first, and whether there are further ones."""

    items: Sequence[TouchpointRow]
    are_more: bool


class Reach(NamedTuple):
    """How far the answer reaches: the applied watermark, and since when there are facts."""

    applied_watermark_us: int | None
    retention_cutoff_us: int | None


def names_of(model: Model) -> dict[int, str | None]:
    """Phase number -> name; None for unplaced."""
    return {UNPLACED: None, **{phase.number: phase.name for phase in model.phases}}


def journey_body(
    model: Model, customer: Customer, touchpoints: Touchpoints, reach: Reach, *, sources: Mapping[int, str]
) -> dict[str, Any]:
    """The answer."""
    names = names_of(model)
    journey, transitions = customer.journey, customer.transitions
    said = [transition_body(transition, names) for transition in transitions]
    last = touchpoints.items[-1] if touchpoints.are_more else None
    return {
        "customer": customer.id,
        "model": model.name,
        "as_of": instant(reach.applied_watermark_us),
        "history_from": instant(reach.retention_cutoff_us),
        **place(journey, names),
        "activity": activity(model, journey, transitions),
        "why": next((one for one in reversed(said) if one["kind"] != "lapse"), None),
        "first_seen": rfc3339(journey.first_us),
        "last_seen": rfc3339(journey.last_us),
        "ids": linked_ids(customer),
        "ids_total": sum(row.owner is not None and row.id != customer.digest for row in customer.ids),
        "cycles": cycles(journey, transitions, names),
        "phases": stays(transitions, names, reach.applied_watermark_us),
        "transitions": said,
        "touchpoints": {
            "items": [_touchpoint(t, sources) for t in touchpoints.items],
            "next_cursor": None if last is None else encode_cursor(last.position),
        },
    }


def place(journey: Journey, names: Names) -> dict[str, Any]:
    """Phase, since when, how far the customer ever got, and in which cycle it is."""
    return {
        "phase": names[journey.phase],
        "entered_at": None if journey.phase == UNPLACED else rfc3339(journey.entered_us),
        "highest_phase": names[journey.highest_phase],
        "cycle": journey.cycle,
    }


def lapse_of(journey: Journey) -> str | None:
    """What the present lapse is called; None for an active customer."""
    if not journey.lapsed_us:
        return None
    return CHURNED_NAME if journey.flags & CHURNED else ABANDONED


def activity(model: Model, journey: Journey, transitions: Sequence[Transition]) -> dict[str, Any]:
    """Whether the customer is active, since when, and when it will lapse unless it does something before."""
    returned_us = next((t.at_us for t in reversed(transitions) if t.kind == RETURN), journey.first_us)
    due = due_us(model, journey)
    return {
        "state": "lapsed" if journey.lapsed_us else "active",
        "since": rfc3339(journey.lapsed_us or returned_us),
        "lapse": lapse_of(journey),
        "recovered": not journey.lapsed_us and journey.cycle > 1,
        "lapses_at": rfc3339(due) if due <= MAX_US else None,
    }


def transition_body(transition: Transition, names: Names) -> dict[str, Any]:
    """One move with its cause: the touchpoint and the model's rule. A lapse by the clock has no touchpoint."""
    start = transition.from_phase if transition.kind == ENTER else UNPLACED
    skipped = () if transition.kind == LAPSE else range(start + 1, transition.to_phase)
    by_touchpoint = transition.actor != ""
    return {
        "at": rfc3339(transition.at_us),
        "kind": _KINDS[transition.kind],
        "from": names[transition.from_phase],
        "to": names[transition.to_phase],
        "skipped": [names[number] for number in skipped],
        "cycle": transition.cycle,
        "message_id": transition.message_id if by_touchpoint else None,
        "actor": transition.actor if by_touchpoint else None,
        "name": transition.name if by_touchpoint else None,
        "rule": transition.rule,
    }


def stays(transitions: Sequence[Transition], names: Names, as_of_us: int | None) -> list[dict[str, Any]]:
    """The phases the customer was in, in order; the time in the open one counts to `as_of_us`."""
    moves = [transition for transition in transitions if transition.kind != LAPSE]
    lapses = [transition for transition in transitions if transition.kind == LAPSE]
    found = []
    for index, move in enumerate(moves):
        left_us = moves[index + 1].at_us if index + 1 < len(moves) else None
        until_us = left_us if left_us is not None else max(as_of_us or move.at_us, move.at_us)
        lapsed_us = None
        if left_us is None or moves[index + 1].kind == RETURN:
            lapsed_us = next((lapse.at_us for lapse in lapses if lapse.cycle == move.cycle), None)
        found.append(
            {
                "phase": names[move.to_phase],
                "cycle": move.cycle,
                "entered_at": rfc3339(move.at_us),
                "lapsed_at": instant(lapsed_us),
                "left_at": instant(left_us),
                "seconds": (until_us - move.at_us) / SECOND_US,
            }
        )
    return found


def cycles(journey: Journey, transitions: Sequence[Transition], names: Names) -> list[dict[str, Any]]:
    """Each cycle: when it began and ended, by which lapse, and the phases entered in it."""
    found: dict[int, dict[str, Any]] = {}

    def cycle(number: int, started_us: int) -> dict[str, Any]:
        new = {"cycle": number, "started_at": rfc3339(started_us), "lapsed_at": None, "lapse": None, "phases": []}
        return found.setdefault(number, new)

    for transition in transitions:
        one = cycle(transition.cycle, journey.first_us if transition.cycle == 1 else transition.at_us)
        if transition.kind == LAPSE:
            one["lapsed_at"], one["lapse"] = rfc3339(transition.at_us), transition.rule
        else:
            one["phases"].append(names[transition.to_phase])
    cycle(journey.cycle, journey.first_us if journey.cycle == 1 else journey.entered_us)
    return list(found.values())


def linked_ids(customer: Customer) -> list[dict[str, Any]]:
    """The first `MOST_IDS` ids that belong to the customer, by when they were linked."""
    names = {row.id: row.name for row in customer.ids}
    linked = sorted(
        (row.link_us or 0, row.link_message or "", row.name, row)
        for row in customer.ids
        if row.owner is not None and row.id != customer.digest
    )
    return [
        {
            "id": row.name,
            "owner": names.get(row.owner) if row.owner is not None else None,
            "since": instant(row.link_us),
            "message_id": row.link_message,
            "by": "alias" if row.link_by == ALIAS else "identify",
        }
        for *_, row in linked[:MOST_IDS]
    ]


def _touchpoint(t: TouchpointRow, sources: Mapping[int, str]) -> dict[str, Any]:
    return {
        "message_id": t.message_id,
        "call": t.call,
        "name": t.name,
        "occurred_at": rfc3339(t.occurred_us),
        "received_at": rfc3339(t.received_us),
        "source": sources.get(t.source),
        "channel": t.channel,
        "user_id": t.user_id,
        "anonymous_id": t.anonymous_id,
        "previous_id": t.previous_id,
        "order_id": t.order_id,
        "value": t.value,
        "currency": t.currency,
        "rating": t.rating,
        "score": t.score,
        "product_id": t.product_id,
        "quantity": t.quantity,
        "bot": t.bot,
        "attribution": _attribution(t.attribution),
        **as_sent(t.rest),
    }


def _attribution(facts: str | None) -> dict[str, Any] | None:
    """What ingest found out; None for nothing, and for what is no JSON object."""
    try:
        return msgspec.json.decode(facts, type=dict[str, Any]) if facts else None
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None


def as_sent(rest: str) -> dict[str, Any]:
    """`properties` (or an identify's traits) and `rest`, everything else of the event.

    As JSON that is not parsed on the way: parsing would change large numbers and repeated keys. What is not a sound
    JSON object is given whole, as a string.
    """
    try:
        parts = msgspec.json.decode(rest, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeEncodeError):
        return {"properties": {}, "rest": rest}
    name = "properties" if "properties" in parts else "traits"
    return {"properties": parts.pop(name, {}), "rest": parts}
