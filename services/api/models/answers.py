"""Answers about phase models: `/v1/models` and `/v1/phases`. Pure."""

from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.shared.answers import Answer, Instant, ModelName, NextCursor
from services.api.shared.queries import ModelGeneration
from throughline.journey.durations import SECOND_US
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339
from throughline.models import define, model_of, shipped_text
from throughline.store.generations import RestageProgress


class Progress(Answer):
    """How far a model is built."""

    fraction: Annotated[float, Meta(description="of all customers, 0 to 1", examples=[0.42])]
    customers: Annotated[int, Meta(examples=[420])]
    of_customers: Annotated[int, Meta(description="about how many there are", examples=[1000])]
    touchpoints: Annotated[int, Meta(examples=[5400])]


class ModelItem(Answer):
    """A phase model of the workspace."""

    name: Annotated[str, Meta(examples=["seven_phase"])]
    label: Annotated[str, Meta(examples=["Seven phases"])]
    phases: Annotated[int, Meta(description="number of its phases", examples=[7])]
    state: Annotated[Literal["live", "building"], Meta(description="building: not served yet")]
    default: Annotated[bool, Meta(description="served to requests that name no model")]
    created_at: Instant
    progress: Annotated[Progress | None, Meta(description="null: its journeys are whole")]


class Models(Answer):
    """The workspace's phase models, by name."""

    TABLE: ClassVar[str] = "models"

    default: Annotated[str, Meta(examples=["seven_phase"])]
    models: list[ModelItem]
    next_cursor: NextCursor


class Phase(Answer):
    """One phase of a model."""

    number: Annotated[int, Meta(description="its rank, from 1", examples=[4])]
    name: Annotated[str, Meta(examples=["purchase"])]
    label: Annotated[str, Meta(examples=["Purchase"])]
    window_seconds: Annotated[int, Meta(description="how long a customer may be silent in it", examples=[7_776_000])]
    touchpoints: Annotated[list[str], Meta(description="kinds that lead there", examples=[["order_completed"]])]


class Phases(Answer):
    """A phase model."""

    TABLE: ClassVar[str] = "phases"

    model: ModelName
    label: Annotated[str, Meta(examples=["Seven phases"])]
    phases: list[Phase]


def model_item(generation: ModelGeneration, default: str, progress: RestageProgress, step: int = 1) -> ModelItem:
    """One generation in the list of models.

    Args:
        default: the name of the workspace's default model.
        progress: how far the generation is built.
        step: numbers of customers are rounded down to multiples of it.
    """
    is_live = generation.state == "live"
    return ModelItem(
        name=generation.name,
        label=_label_of(generation.name, generation.document),
        phases=len(model_of(generation.name, generation.document).phases),
        state="live" if is_live else "building",
        default=is_live and generation.name == default,
        created_at=rfc3339(generation.created_us),
        progress=None
        if is_live and progress.is_whole
        else Progress(
            fraction=round(progress.fraction, 4 if step == 1 else 1),
            customers=progress.customers // step * step,
            of_customers=progress.of_customers // step * step,
            touchpoints=progress.touchpoints // step * step,
        ),
    )


def phases_answer(generation: ModelGeneration) -> Phases:
    """The phases of a model in rank order, with the kinds that lead to each."""
    model = model_of(generation.name, generation.document)
    kinds = _kinds_by_phase(model)
    return Phases(
        model=model.name,
        label=_label_of(generation.name, generation.document),
        phases=[
            Phase(
                number=phase.number,
                name=phase.name,
                label=phase.label,
                window_seconds=phase.window_us // SECOND_US,
                touchpoints=sorted(kinds.get(phase.number, ())),
            )
            for phase in model.phases
        ],
    )


def _kinds_by_phase(model: Model) -> dict[int, set[str]]:
    kinds: dict[int, set[str]] = {}
    for kind in (*model.calls.values(), *model.names.values()):
        for rule in kind.rules:
            kinds.setdefault(rule.phase, set()).add(kind.name)
    return kinds


@lru_cache(256)
def _label_of(name: str, document: str | None) -> str:
    """The label in a model's file. `document`: None for the file shipped under that name."""
    return define(shipped_text(name) if document is None else document, f"{name}.toml").label
