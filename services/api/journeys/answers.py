"""The answer of `/v1/journey`: where one customer stands, and why. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta

from services.api.journeys.queries import IdRow
from services.api.journeys.touchpoints import Touchpoints
from services.api.shared.answers import Answer, HistoryFrom, Instant, ModelName, SettledUntil, instant
from throughline.journey import state
from throughline.journey.durations import SECOND_US
from throughline.journey.identity import ALIAS
from throughline.journey.lapse import due_us
from throughline.journey.memory import CHURNED
from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import MAX_US, rfc3339

MAX_IDS = 1000
"""Maximum number of ids in an answer."""

LapseName = Literal["abandoned", "churned"]
TransitionKind = Literal["enter", "return", "lapse"]

_KINDS: dict[int, TransitionKind] = {state.ENTER: "enter", state.RETURN: "return", state.LAPSE: "lapse"}


# --- the answer -------------------------------------------------------------------------------------------------------


class Transition(Answer):
    """One move, with the touchpoint and the rule that caused it."""

    at: Instant
    kind: Annotated[TransitionKind, Meta(description="return: into a new cycle; lapse: fallen silent")]
    from_: Annotated[str | None, Meta(description="null: not in a phase before", examples=["discovery"])] = (
        msgspec.field(name="from")
    )
    to: Annotated[str | None, Meta(description="a lapse stays in its phase", examples=["decision"])]
    skipped: Annotated[list[str], Meta(description="phases passed over", examples=[["consideration"]])]
    cycle: Annotated[int, Meta(description="the cycle it leads into; of a lapse the cycle it ends", examples=[1])]
    message_id: Annotated[
        str | None, Meta(description="null: a lapse by the clock", examples=["ajs-next-1790000000000-6f0c"])
    ]
    actor: Annotated[str | None, Meta(description="the id the touchpoint came under", examples=["user-1"])]
    name: Annotated[str | None, Meta(description="the touchpoint's event name", examples=["Product Viewed"])]
    rule: Annotated[
        str, Meta(description="the model's rule; of a lapse abandoned or churned", examples=["product_viewed"])
    ]


class Activity(Answer):
    """Whether the customer is active."""

    state: Literal["active", "lapsed"]
    since: Annotated[Instant, Meta(description="the lapse, or the start of the cycle")]
    lapse: Annotated[LapseName | None, Meta(description="null: active")]
    recovered: Annotated[bool, Meta(description="active again after a lapse")]
    lapses_at: Annotated[
        Instant | None, Meta(description="when it lapses unless the customer does something before; null: never")
    ]


class LinkedId(Answer):
    """An id that belongs to the customer, and the event that linked it."""

    id: Annotated[str, Meta(examples=["4c1f"])]
    owner: Annotated[str | None, Meta(description="the id it was linked to", examples=["user-1"])]
    since: Instant | None
    message_id: Annotated[str | None, Meta(examples=["ajs-next-1790000000000-6f0c"])]
    by: Annotated[Literal["identify", "alias"], Meta(description="identify: one event carried both ids")]


class Cycle(Answer):
    """From the first touchpoint or a return to a lapse."""

    cycle: Annotated[int, Meta(examples=[1])]
    started_at: Instant
    lapsed_at: Annotated[Instant | None, Meta(description="null: it goes on")]
    lapse: LapseName | None
    phases: Annotated[list[str], Meta(description="entered in it, in order", examples=[["discovery", "decision"]])]


class Stay(Answer):
    """The customer's time in one phase."""

    phase: Annotated[str, Meta(examples=["consideration"])]
    cycle: Annotated[int, Meta(examples=[1])]
    entered_at: Instant
    lapsed_at: Annotated[Instant | None, Meta(description="since when the customer was silent in it")]
    left_at: Annotated[Instant | None, Meta(description="null: the customer is in it")]
    seconds: Annotated[float, Meta(description="its length; the open one counts to as_of", examples=[86400.5])]


class Journey(Answer):
    """One customer's journey under one model."""

    customer: Annotated[str, Meta(description="the id to which the requested id belongs", examples=["user-1"])]
    model: ModelName
    as_of: SettledUntil
    history_from: HistoryFrom
    phase: Annotated[str | None, Meta(description="null: unplaced", examples=["purchase"])]
    entered_at: Instant | None
    highest_phase: Annotated[str | None, Meta(description="of the lifetime", examples=["purchase"])]
    cycle: Annotated[int, Meta(description="from 1; a return after a lapse opens the next", examples=[1])]
    activity: Activity
    why: Annotated[Transition | None, Meta(description="the move into the present phase; null: unplaced")]
    first_seen: Instant
    last_seen: Instant
    ids: Annotated[list[LinkedId], Meta(description=f"the first {MAX_IDS}, by when they were linked")]
    ids_total: Annotated[int, Meta(examples=[1])]
    cycles: list[Cycle]
    phases: list[Stay]
    transitions: list[Transition]
    touchpoints: Touchpoints


# --- from rows --------------------------------------------------------------------------------------------------------


class CustomerRecord(NamedTuple):
    """What is stored of a customer under one model."""

    id: str
    digest: bytes
    journey: state.Journey
    transitions: Sequence[state.Transition]
    ids: Sequence[IdRow]
    """The customer's own id, and all ids that belong to it."""


def journey_answer(
    model: Model,
    customer: CustomerRecord,
    touchpoints: Touchpoints,
    *,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None,
) -> Journey:
    """The whole answer.

    Args:
        model: the phase model of the journey.
        customer: its rows.
        touchpoints: one page.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: touchpoints that occurred before it are deleted.
    """
    journey = customer.journey
    transitions = [_transition(model, transition) for transition in customer.transitions]
    linked = _linked_rows(customer)
    names = {row.id: row.name for row in customer.ids}
    return Journey(
        customer=customer.id,
        model=model.name,
        as_of=instant(applied_watermark_us),
        history_from=instant(retention_cutoff_us),
        phase=phase_name(model, journey.phase),
        entered_at=entered_at(journey),
        highest_phase=phase_name(model, journey.highest_phase),
        cycle=journey.cycle,
        activity=_activity(model, journey, customer.transitions),
        why=next((transition for transition in reversed(transitions) if transition.kind != "lapse"), None),
        first_seen=rfc3339(journey.first_us),
        last_seen=rfc3339(journey.last_us),
        ids=[_linked_id(row, names) for row in linked[:MAX_IDS]],
        ids_total=len(linked),
        cycles=_cycles(model, journey, customer.transitions),
        phases=stays(model, customer.transitions, applied_watermark_us),
        transitions=transitions,
        touchpoints=touchpoints,
    )


def phase_name(model: Model, number: int) -> str | None:
    """The name of a phase; None for unplaced."""
    return None if number == UNPLACED else model.phases[number - 1].name


def entered_at(journey: state.Journey) -> str | None:
    """When the customer entered its phase; None while it is unplaced."""
    return None if journey.phase == UNPLACED else rfc3339(journey.entered_us)


def lapse_name(journey: state.Journey) -> LapseName | None:
    """What the present lapse is called; None for an active customer."""
    if not journey.lapsed_us:
        return None
    return "churned" if journey.flags & CHURNED else "abandoned"


def _activity(model: Model, journey: state.Journey, transitions: Sequence[state.Transition]) -> Activity:
    returns = (transition.at_us for transition in reversed(transitions) if transition.kind == state.RETURN)
    due = due_us(model, journey)
    return Activity(
        state="lapsed" if journey.lapsed_us else "active",
        since=rfc3339(journey.lapsed_us or next(returns, journey.first_us)),
        lapse=lapse_name(journey),
        recovered=not journey.lapsed_us and journey.cycle > 1,
        lapses_at=rfc3339(due) if due <= MAX_US else None,
    )


def _transition(model: Model, transition: state.Transition) -> Transition:
    start = transition.from_phase if transition.kind == state.ENTER else UNPLACED
    skipped = () if transition.kind == state.LAPSE else range(start + 1, transition.to_phase)
    by_touchpoint = transition.actor != ""
    return Transition(
        at=rfc3339(transition.at_us),
        kind=_KINDS[transition.kind],
        from_=phase_name(model, transition.from_phase),
        to=phase_name(model, transition.to_phase),
        skipped=[_named(model, number) for number in skipped],
        cycle=transition.cycle,
        message_id=transition.message_id if by_touchpoint else None,
        actor=transition.actor if by_touchpoint else None,
        name=transition.name if by_touchpoint else None,
        rule=transition.rule,
    )


def stays(model: Model, transitions: Sequence[state.Transition], applied_watermark_us: int | None) -> list[Stay]:
    """The phases that the customer was in, in order. The time in the open one counts to the watermark."""
    moves = [transition for transition in transitions if transition.kind != state.LAPSE]
    lapses = [transition for transition in transitions if transition.kind == state.LAPSE]
    answers: list[Stay] = []
    for index, move in enumerate(moves):
        following = moves[index + 1] if index + 1 < len(moves) else None
        watermark_us = max(applied_watermark_us or move.at_us, move.at_us)
        until_us = watermark_us if following is None else following.at_us
        lapsed_us = None
        if following is None or following.kind == state.RETURN:
            lapsed_us = next((lapse.at_us for lapse in lapses if lapse.cycle == move.cycle), None)
        answers.append(
            Stay(
                phase=_named(model, move.to_phase),
                cycle=move.cycle,
                entered_at=rfc3339(move.at_us),
                lapsed_at=instant(lapsed_us),
                left_at=None if following is None else rfc3339(following.at_us),
                seconds=(until_us - move.at_us) / SECOND_US,
            )
        )
    return answers


def _cycles(model: Model, journey: state.Journey, transitions: Sequence[state.Transition]) -> list[Cycle]:
    """Each cycle of the customer. The first begins with the first touchpoint, any other with its return."""
    by_cycle: dict[int, list[state.Transition]] = {}
    for transition in transitions:
        by_cycle.setdefault(transition.cycle, []).append(transition)
    by_cycle.setdefault(journey.cycle, [])
    return [_cycle(model, journey, number, members) for number, members in by_cycle.items()]


def _cycle(model: Model, journey: state.Journey, number: int, transitions: Sequence[state.Transition]) -> Cycle:
    lapse = next((transition for transition in reversed(transitions) if transition.kind == state.LAPSE), None)
    returned_us = transitions[0].at_us if transitions else journey.entered_us
    return Cycle(
        cycle=number,
        started_at=rfc3339(journey.first_us if number == 1 else returned_us),
        lapsed_at=None if lapse is None else rfc3339(lapse.at_us),
        lapse=None if lapse is None else _lapse_rule(lapse),
        phases=[_named(model, move.to_phase) for move in transitions if move.kind != state.LAPSE],
    )


def _lapse_rule(lapse: state.Transition) -> LapseName:
    return "churned" if lapse.rule == state.CHURNED_NAME else "abandoned"


def _linked_rows(customer: CustomerRecord) -> list[IdRow]:
    """The ids that belong to the customer, by when they were linked."""
    linked = [row for row in customer.ids if row.owner is not None and row.id != customer.digest]
    return sorted(linked, key=lambda row: (row.link_us or 0, row.link_message or "", row.name, row))


def _linked_id(row: IdRow, names: Mapping[bytes, str]) -> LinkedId:
    return LinkedId(
        id=row.name,
        owner=None if row.owner is None else names.get(row.owner),
        since=instant(row.link_us),
        message_id=row.link_message,
        by="alias" if row.link_by == ALIAS else "identify",
    )


def _named(model: Model, number: int) -> str:
    return model.phases[number - 1].name
