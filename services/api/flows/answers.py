"""The answers of flows and variants. Pure."""

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from services.api.flows.places import class_name, place_name
from services.api.flows.queries import KindCycle, KindPath
from services.api.funnel.answers import Share, share
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor, instant
from services.api.shared.days import Days, OfDays, of_days
from services.api.shared.links import Links, ListLinks, Query
from services.api.shared.workspace import LiveModel
from throughline.analytics import flows
from throughline.analytics.intervals import wilson
from throughline.journey.flows import CYCLE_CLASSES
from throughline.journey.milestones import ABANDONED, CHURNED, ENDED, OPEN
from throughline.journey.model import Model
from throughline.journey.trail import MAX_KINDS
from throughline.kit.clock import rfc3339

Reading = Literal["moves", "paths"]
Outcome = Literal["open", "abandoned", "churned", "ended"]
OUTCOMES: dict[int, Outcome] = {OPEN: "open", ABANDONED: "abandoned", CHURNED: "churned", ENDED: "ended"}
CYCLES = "/v1/variants/cycles"
KIND_CYCLES = "/v1/variants/kinds/cycles"
NO_KINDS = "(none)"
"""The path of cycles none of whose touchpoints the vocabulary knows."""
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
    links: Annotated[
        Links,
        Meta(
            description="path of the list of exactly what a number counts, by its name: moves for in and out, "
            "customers for opening and closing; those of cycles (`paths`) have no list of the two"
        ),
    ]


class FlowEdge(Answer):
    """Moves from one node to another."""

    from_: NodeId = msgspec.field(name="from")
    to: Annotated[str, Meta(description="a node's id, or `(other)`: all that are not shown together")]
    moves: Annotated[int, Meta(examples=[1702])]
    link: Annotated[
        str,
        Meta(
            description="path of the list of exactly these moves",
            examples=["/v1/moves?from_node=1%2Fdiscovery&to_node=1%2Fdecision"],
        ),
    ]


class PhaseFlows(OfDays):
    """The moves of a span. Cutting changes no node: what is not shown is in its edge to `(other)`."""

    TABLE: ClassVar[str] = "edges"

    reading: Annotated[
        Reading, Meta(description="moves: all of the span; paths: those of the cycles that began in the span")
    ]
    nodes: list[FlowNode]
    edges: list[FlowEdge]


class Variant(Answer):
    """Cycles that entered the same phases and ended in the same way."""

    phases: Annotated[list[str], Meta(description="in their order", examples=[["discovery", "decision"]])]
    outcome: Outcome
    cycles: Annotated[int, Meta(examples=[410])]
    link: Annotated[
        str,
        Meta(
            description="path of the list of exactly these cycles",
            examples=["/v1/variants/cycles?phases=discovery%2Cdecision&outcome=open"],
        ),
    ]


class Variants(OfDays):
    """Which phases the cycles that began in the span have entered, the most frequent first; all add up to `total`."""

    TABLE: ClassVar[str] = "variants"

    total: Annotated[int, Meta(examples=[5120])]
    other: Annotated[int, Meta(description="cycles of all variants that are not shown", examples=[12])]
    link: Annotated[
        str, Meta(description="path of the list of all", examples=["/v1/variants/cycles?model=seven_phase"])
    ]
    other_link: Annotated[
        str | None, Meta(description="path of the list of those that are not shown; null: there are none")
    ]
    variants: list[Variant]


class KindVariant(Answer):
    """Cycles that went through the same kinds of touchpoints."""

    kinds: Annotated[
        list[str],
        Meta(description=f"repeats in a row are one; the first {MAX_KINDS}", examples=[["browse", "order"]]),
    ]
    cycles: Annotated[int, Meta(examples=[410])]
    reached: Annotated[int, Meta(description="came to the goal or beyond", examples=[80])]
    rate: Annotated[Share | None, Meta(description="of those")]
    lapsed: Annotated[int, Meta(examples=[300])]
    links: Links


class KindVariants(OfDays):
    """What the cycles that began in the span went through, the most frequent first; all add up to `total`."""

    TABLE: ClassVar[str] = "variants"

    goal: Annotated[str, Meta(examples=["purchase"])]
    total: Annotated[int, Meta(examples=[5120])]
    reached: Annotated[int, Meta(description="of all, came to the goal or beyond", examples=[800])]
    other: Annotated[int, Meta(description="cycles of all variants that are not shown", examples=[12])]
    links: Links
    variants: list[KindVariant]


class KindCycleItem(Answer):
    """A cycle and how it went."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    cycle: Annotated[int, Meta(examples=[1])]
    began_at: Instant
    lapsed_at: Annotated[Instant | None, Meta(description="null: it goes on")]
    reached: Annotated[bool, Meta(description="came to the goal or beyond")]


class KindCycles(Answer):
    """A page of the cycles behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[KindCycleItem]
    next_cursor: NextCursor


def flows_answer(live: LiveModel, days: Days, reading: Reading, result: flows.Flows, lists: ListLinks) -> PhaseFlows:
    """The nodes and edges by name. `lists`: of those that the numbers count."""
    model = live.model
    links = _FlowLinks(model, days, reading, result, lists)
    return PhaseFlows(
        **of_days(live, days),
        reading=reading,
        nodes=[
            FlowNode(
                id=place_name(model, node.place),
                cycle=class_name(node.place),
                phase=None if node.place == flows.NEW else model.phases[node.place.phase - 1].name,
                lapsed=node.place.lapsed,
                opening=node.opening,
                in_=node.into,
                out=node.out,
                closing=node.closing,
                links=links.of_node(node.place),
            )
            for node in result.nodes
        ],
        edges=[
            FlowEdge(
                from_=place_name(model, edge.from_place),
                to="(other)" if edge.to_place is None else place_name(model, edge.to_place),
                moves=edge.number,
                link=links.of_edge(edge),
            )
            for edge in result.edges
        ],
    )


class _FlowLinks:
    """The lists behind the numbers of a flow."""

    def __init__(self, model: Model, days: Days, reading: Reading, result: flows.Flows, lists: ListLinks) -> None:
        self._model = model
        self._reading = reading
        self._lists = lists
        self._from, self._to = rfc3339(days.from_us), rfc3339(days.end_us)
        self._places = [node.place for node in result.nodes if node.into]
        self._shown = {(edge.from_place, edge.to_place) for edge in result.edges}

    def of_node(self, place: flows.Place) -> dict[str, str]:
        name = place_name(self._model, place)
        out = self._moves({"from_node": name})
        if place == flows.NEW:
            return {"opening": out, "out": out}
        moves = {"in": self._moves({"to_node": name}), "out": out}
        if self._reading == "paths":
            return moves
        phase = self._model.phases[place.phase - 1].name
        standing = {"phase": phase, "activity": "lapsed" if place.lapsed else "active", "cycle": class_name(place)}
        return moves | {
            "opening": self._lists.customers({**standing, "as_of": self._from}),
            "closing": self._lists.customers({**standing, "as_of": self._to}),
        }

    def of_edge(self, edge: flows.Edge) -> str:
        targets = [edge.to_place]
        if edge.to_place is None:
            targets = [place for place in self._places if (edge.from_place, place) not in self._shown]
        names = [place_name(self._model, place) for place in targets if place is not None]
        return self._moves({"from_node": place_name(self._model, edge.from_place), "to_node": names})

    def _moves(self, query: Query) -> str:
        return self._lists.moves({**query, "from": self._from, "to": self._to, "reading": self._reading})


def variants_answer(
    live: LiveModel, days: Days, variants: Sequence[tuple[int, int, int]], lists: ListLinks
) -> Variants:
    """The variants by name.

    Args:
        live: whose.
        days: on which their cycles began.
        variants: (phases entered, outcome, number).
        lists: of those that the numbers count.
    """
    model = live.model
    span = {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}

    def shown(phases: int, outcome: int, number: int) -> Variant:
        names = [phase.name for phase in model.phases if phases & 1 << (phase.number - 1)]
        which = {"phases": ",".join(names), "outcome": OUTCOMES[outcome]}
        return Variant(names, OUTCOMES[outcome], number, lists.path(CYCLES, {**which, **span}))

    in_order = sorted(variants, key=lambda variant: (-variant[2], variant))
    rows = [shown(*variant) for variant in in_order[:MAX_VARIANTS]]
    but = [f"{','.join(row.phases)}:{row.outcome}" for row in rows]
    return Variants(
        **of_days(live, days),
        total=sum(number for _, _, number in in_order),
        other=sum(number for _, _, number in in_order[MAX_VARIANTS:]),
        link=lists.path(CYCLES, span),
        other_link=lists.path(CYCLES, {**span, "except": but}) if in_order[MAX_VARIANTS:] else None,
        variants=rows,
    )


def kind_variants_answer(
    live: LiveModel, days: Days, paths: Sequence[KindPath], goal: int, lists: ListLinks
) -> KindVariants:
    """The paths. `goal`: the phase; `lists`: of those that the numbers count."""
    span = {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us), "goal": live.model.phases[goal - 1].name}

    def variant(path: KindPath, names: Sequence[str]) -> KindVariant:
        which = {**span, "kinds": ",".join(names) or NO_KINDS}
        links = {
            "cycles": lists.path(KIND_CYCLES, which),
            "reached": lists.path(KIND_CYCLES, {**which, "outcome": "reached"}),
            "lapsed": lists.path(KIND_CYCLES, {**which, "outcome": "lapsed"}),
        }
        rate = share(wilson(path.reached, path.cycles))
        return KindVariant([*names], path.cycles, path.reached, rate, path.lapsed, links)

    return KindVariants(
        **of_days(live, days),
        goal=span["goal"],
        total=sum(path.cycles for path in paths),
        reached=sum(path.reached for path in paths),
        other=sum(path.cycles for path in paths if path.kinds is None),
        links={
            "total": lists.path(KIND_CYCLES, span),
            "reached": lists.path(KIND_CYCLES, {**span, "outcome": "reached"}),
            "other": lists.path(KIND_CYCLES, {**span, "other": "true"}),
        },
        variants=[variant(path, path.kinds) for path in paths if path.kinds is not None],
    )


def kind_cycles_answer(model: str, rows: Sequence[KindCycle], next_cursor: str | None) -> KindCycles:
    """A page of the list."""
    return KindCycles(
        model=model,
        items=[
            KindCycleItem(row.id, row.cycle, rfc3339(row.began_us), instant(row.lapsed_us), row.reached) for row in rows
        ],
        next_cursor=next_cursor,
    )
