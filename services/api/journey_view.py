"""A customer's journey as the API tells it, from the stored rows. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from services.api.cursors import TouchpointCursor, encode_cursor
from services.api.queries_journey import JourneyRow, TouchpointRow, TransitionRow
from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import rfc3339

SECOND_US = 1_000_000


def names_of(model: Model) -> dict[int, str | None]:
    """Phase number -> name; None for unplaced."""
    return {UNPLACED: None, **{phase.number: phase.name for phase in model.phases}}


def stays(
    transitions: Sequence[TransitionRow], names: Mapping[int, str | None], as_of_us: int | None
) -> list[dict[str, Any]]:
    """The phases the customer was in, in order; the time in the open one counts to `as_of_us`."""
    found = []
    for index, transition in enumerate(transitions):
        if transition.to_phase == UNPLACED:
            continue
        entered_us = transition.at_us
        left_us = transitions[index + 1].at_us if index + 1 < len(transitions) else None
        until_us = left_us if left_us is not None else max(as_of_us or entered_us, entered_us)
        found.append(
            {
                "phase": names[transition.to_phase],
                "entered_at": rfc3339(entered_us),
                "left_at": None if left_us is None else rfc3339(left_us),
                "seconds": (until_us - entered_us) / SECOND_US,
            }
        )
    return found


def journey_body(
    model: Model,
    journey: JourneyRow,
    transitions: Sequence[TransitionRow],
    touchpoints: Sequence[TouchpointRow],
    *,
    sources: Mapping[int, str],
    as_of_us: int | None,
    limit: int,
) -> dict[str, Any]:
    """The answer. `touchpoints`: newest first, one more than `limit` when there are further ones."""
    names = names_of(model)
    page = touchpoints[:limit]
    last = page[-1] if len(touchpoints) > limit else None
    return {
        "customer": journey.id,
        "as_of": None if as_of_us is None else rfc3339(as_of_us),
        "phase": names[journey.phase],
        "entered_at": None if journey.phase == UNPLACED else rfc3339(journey.entered_us),
        "highest_phase": names[journey.highest_phase],
        "first_seen": rfc3339(journey.first_us),
        "last_seen": rfc3339(journey.last_us),
        "phases": stays(transitions, names, as_of_us),
        "transitions": [
            {
                "at": rfc3339(t.at_us),
                "from": names[t.from_phase],
                "to": names[t.to_phase],
                "cycle": t.cycle,
                "message_id": t.message_id,
                "name": t.name,
                "rule": t.rule,
            }
            for t in transitions
        ],
        "touchpoints": {
            "items": [_touchpoint(t, sources) for t in page],
            "next_cursor": None
            if last is None
            else encode_cursor(TouchpointCursor(last.occurred_us, last.message_id, last.actor)),
        },
    }


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
        **as_sent(t.rest),
    }


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
