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


class LinkedIds(Answer):
    """A page of the ids that belong to the customer, by when they were linked."""

    items: list[LinkedId]
    total: Annotated[int, Meta(examples=[1])]
    next_cursor: Annotated[str | None, Meta(description="`ids_cursor` of the next page; null: this is the last")]


class Transitions(Answer):
    """A page of transitions, newest first."""

    items: list[Transition]
    next_cursor: Annotated[
        str | None, Meta(description="`transitions_cursor` of the next page; null: this is the last")
    ]


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
    recomputing: Annotated[
        bool,
        Meta(
            description="true: its long history has changed and is being recomputed; until then all but the "
            "touchpoints is as it was, here and in the counts",
            examples=[False],
        ),
    ]
    history_from: HistoryFrom
    phase: Annotated[str | None, Meta(description="null: unplaced", examples=["purchase"])]
    entered_at: Instant | None
    highest_phase: Annotated[str | None, Meta(description="of the lifetime", examples=["purchase"])]
    cycle: Annotated[int, Meta(description="from 1; a return after a lapse opens the next", examples=[1])]
    activity: Activity
    why: Annotated[Transition | None, Meta(description="the move into the present phase; null: unplaced")]
    first_seen: Instant
    last_seen: Instant
    ids: LinkedIds
    cycles: Annotated[list[Cycle], Meta(description="newest first: those whose last transition is on the page")]
    phases: Annotated[list[Stay], Meta(description="newest first: those that the page's transitions lead into")]
    transitions: Transitions
    touchpoints: Touchpoints


# --- from rows --------------------------------------------------------------------------------------------------------


class TransitionPage(NamedTuple):
    """A page of a customer's transitions, and those around it that tell of stays and cycles on the page."""

    items: Sequence[state.Transition]
    """Newest first."""
    newer: Sequence[state.Transition]
    """At most two, oldest first: those that follow the page."""
    older: Sequence[state.Transition]
    """Newest first, as many as a cycle may have: those before the page."""

    @property
    def is_first(self) -> bool:
        """Whether the page has the newest transitions."""
        return not self.newer


class IdPage(NamedTuple):
    """A page of the ids that belong to a customer."""

    items: Sequence[IdRow]
    total: int
    names: Mapping[bytes, str]
    """All ids of the customer, by digest."""
    next_cursor: str | None


class CustomerRecord(NamedTuple):
    """What is stored of a customer under one model."""

    id: str
    journey: state.Journey
    newest: Sequence[state.Transition]
    """Newest first, as many as a cycle may have."""


def journey_answer(
    model: Model,
    customer: CustomerRecord,
    *,
    ids: IdPage,
    transitions: TransitionPage,
    transitions_cursor: str | None,
    touchpoints: Touchpoints,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None,
    recomputing: bool = False,
) -> Journey:
    """The whole answer.

    Args:
        customer: its rows.
        ids: one page.
        transitions: one page.
        transitions_cursor: of the page after it.
        touchpoints: one page.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: touchpoints that occurred before it are deleted.
        recomputing: whether the journey is recomputed aside.
    """
    journey = customer.journey
    entry = next((transition for transition in customer.newest if transition.kind != state.LAPSE), None)
    return Journey(
        customer=customer.id,
        model=model.name,
        as_of=instant(applied_watermark_us),
        recomputing=recomputing,
        history_from=instant(retention_cutoff_us),
        phase=phase_name(model, journey.phase),
        entered_at=entered_at(journey),
        highest_phase=phase_name(model, journey.highest_phase),
        cycle=journey.cycle,
        activity=_activity(model, journey, customer.newest),
        why=None if entry is None else _transition(model, entry),
        first_seen=rfc3339(journey.first_us),
        last_seen=rfc3339(journey.last_us),
        ids=LinkedIds([_linked_id(row, ids.names) for row in ids.items], ids.total, ids.next_cursor),
        cycles=cycles(model, journey, transitions),
        phases=stays(model, transitions, applied_watermark_us),
        transitions=Transitions([_transition(model, item) for item in transitions.items], transitions_cursor),
        touchpoints=touchpoints,
    )


def cycle_size(model: Model) -> int:
    """Maximum number of transitions of one cycle: one into each phase, and the lapse."""
    return len(model.phases) + 1


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


def _activity(model: Model, journey: state.Journey, newest: Sequence[state.Transition]) -> Activity:
    returns = (transition.at_us for transition in newest if transition.kind == state.RETURN)
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


def stays(model: Model, page: TransitionPage, applied_watermark_us: int | None) -> list[Stay]:
    """The phases that a page's transitions lead into, newest first. The open one counts to the watermark."""
    answers: list[Stay] = []
    left_us = lapsed_us = None
    for number, transition in enumerate((*reversed(page.newer), *page.items)):
        if transition.kind == state.LAPSE:
            lapsed_us = transition.at_us
            continue
        entered_us = transition.at_us
        if number >= len(page.newer):
            until_us = max(applied_watermark_us or entered_us, entered_us) if left_us is None else left_us
            answers.append(
                Stay(
                    phase=_named(model, transition.to_phase),
                    cycle=transition.cycle,
                    entered_at=rfc3339(entered_us),
                    lapsed_at=instant(lapsed_us),
                    left_at=instant(left_us),
                    seconds=(until_us - entered_us) / SECOND_US,
                )
            )
        left_us, lapsed_us = entered_us, None
    return answers


def cycles(model: Model, journey: state.Journey, page: TransitionPage) -> list[Cycle]:
    """The cycles whose last transition is on a page, newest first.

    The first cycle begins with the first touchpoint, any other with its return.
    """
    shown = {transition.cycle for transition in page.items} - {transition.cycle for transition in page.newer[:1]}
    by_cycle: dict[int, list[state.Transition]] = {}
    if page.is_first:
        by_cycle[journey.cycle] = []
        shown.add(journey.cycle)
    for transition in (*page.items, *page.older):
        if transition.cycle in shown:
            by_cycle.setdefault(transition.cycle, []).append(transition)
    return [_cycle(model, journey, number, members[::-1]) for number, members in by_cycle.items()]


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
