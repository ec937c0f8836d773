"""The answers of flows and variants. Pure."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from services.api.shared.answers import Answer, HistoryFrom, Instant, ModelName, SettledUntil, instant
from services.api.shared.days import Days
from services.api.shared.workspace import LiveModel
from throughline.analytics import flows
from throughline.journey.flows import CYCLE_CLASSES
from throughline.journey.milestones import ABANDONED, CHURNED, ENDED, OPEN
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339

Reading = Literal["moves", "paths"]
Outcome = Literal["open", "abandoned", "churned", "ended"]
OUTCOMES: dict[int, Outcome] = {OPEN: "open", ABANDONED: "abandoned", CHURNED: "churned", ENDED: "ended"}
MAX_VARIANTS = 50
"""Maximum number of variants that are shown one by one."""

NodeId = Annotated[str, Meta(description="cycle/phase, with /lapsed; or new", examples=["1/consideration"])]


class FlowNode(Answer):
    """A phase in a class of cycles, active or lapsed: opening + in = closing + out."""

    id: NodeId
    cycle: Annotated[str | None, Meta(description=f"1, 2 or {CYCLE_CLASSES}+; null of `new`", examples=["1"])]
    phase: Annotated[str | None, Meta(description="null of `new`", examples=["consideration"])]
    lapsed: Annotated[bool, Meta(examples=[False])]
    opening: Annotated[int, Meta(examples=[1200])]
    in_: int = msgspec.field(name="in")
    out: Annotated[int, Meta(examples=[1702])]
    closing: Annotated[int, Meta(description="there at the end of the span", examples=[1518])]


class FlowEdge(Answer):
    """Moves from one node to another."""

    from_: NodeId = msgspec.field(name="from")
    to: Annotated[str, Meta(description="a node's id, or `(other)`: all that are not shown together")]
    moves: Annotated[int, Meta(examples=[1702])]


class PhaseFlows(Answer):
    """The moves of a span. Cutting changes no node: what is not shown is in its edge to `(other)`."""

    TABLE: ClassVar[str] = "edges"

    model: ModelName
    reading: Annotated[
        Reading, Meta(description="moves: all of the span; paths: those of the cycles that began in the span")
    ]
    time_zone: Annotated[str, Meta(examples=["Europe/Berlin"])]
    from_: Instant = msgspec.field(name="from")
    to: Instant
    settled_until: SettledUntil
    history_from: HistoryFrom
    nodes: list[FlowNode]
    edges: list[FlowEdge]


class Variant(Answer):
    """Cycles that entered the same phases and ended in the same way."""

    phases: Annotated[list[str], Meta(description="in their order", examples=[["discovery", "decision"]])]
    outcome: Outcome
    cycles: Annotated[int, Meta(examples=[410])]


class Variants(Answer):
    """Which phases the cycles that began in the span have entered, the most frequent first; all add up to `total`."""

    TABLE: ClassVar[str] = "variants"

    model: ModelName
    time_zone: Annotated[str, Meta(examples=["Europe/Berlin"])]
    from_: Instant = msgspec.field(name="from")
    to: Instant
    settled_until: SettledUntil
    history_from: HistoryFrom
    total: Annotated[int, Meta(examples=[5120])]
    other: Annotated[int, Meta(description="cycles of all variants that are not shown", examples=[12])]
    variants: list[Variant]


def flows_answer(live: LiveModel, days: Days, reading: Reading, result: flows.Flows) -> PhaseFlows:
    """The nodes and edges by name."""
    model = live.model
    return PhaseFlows(
        model=model.name,
        reading=reading,
        time_zone=live.workspace.time_zone,
        from_=rfc3339(days.from_us),
        to=rfc3339(days.end_us),
        settled_until=instant(live.workspace.applied_watermark_us),
        history_from=instant(live.workspace.retention_cutoff_us),
        nodes=[
            FlowNode(
                id=_id(model, node.place),
                cycle=_cycle(node.place),
                phase=None if node.place == flows.NEW else model.phases[node.place.phase - 1].name,
                lapsed=node.place.lapsed,
                opening=node.opening,
                in_=node.into,
                out=node.out,
                closing=node.closing,
            )
            for node in result.nodes
        ],
        edges=[
            FlowEdge(
                from_=_id(model, edge.from_place),
                to="(other)" if edge.to_place is None else _id(model, edge.to_place),
                moves=edge.number,
            )
            for edge in result.edges
        ],
    )


def variants_answer(live: LiveModel, days: Days, variants: Sequence[tuple[int, int, int]]) -> Variants:
    """The variants by name. `variants`: (phases entered, outcome, number)."""
    model = live.model
    in_order = sorted(variants, key=lambda variant: (-variant[2], variant))
    return Variants(
        model=model.name,
        time_zone=live.workspace.time_zone,
        from_=rfc3339(days.from_us),
        to=rfc3339(days.end_us),
        settled_until=instant(live.workspace.applied_watermark_us),
        history_from=instant(live.workspace.retention_cutoff_us),
        total=sum(number for _, _, number in in_order),
        other=sum(number for _, _, number in in_order[MAX_VARIANTS:]),
        variants=[
            Variant(
                [phase.name for phase in model.phases if phases & 1 << (phase.number - 1)], OUTCOMES[outcome], number
            )
            for phases, outcome, number in in_order[:MAX_VARIANTS]
        ],
    )


def _cycle(place: flows.Place) -> str | None:
    if place == flows.NEW:
        return None
    return f"{place.cycle}+" if place.cycle == CYCLE_CLASSES else str(place.cycle)


def _id(model: Model, place: flows.Place) -> str:
    if place == flows.NEW:
        return "new"
    name = f"{_cycle(place)}/{model.phases[place.phase - 1].name}"
    return f"{name}/lapsed" if place.lapsed else name
