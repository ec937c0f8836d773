"""The answers of `/v1/annotations`. Pure."""

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from services.api.shared.answers import Answer, Instant, instant
from throughline.kit.clock import rfc3339
from throughline.store.annotations import Annotation, ModelStart

Kind = Literal["note", "release", "campaign", "incident"]
"""What people annotate."""
BY_ITSELF = "throughline"
"""Who wrote the annotations that nobody wrote."""


class AnnotationAnswer(Answer):
    """One annotation: of an instant, or from then until an end."""

    id: Annotated[int | None, Meta(description="null: written by itself, and not to be changed", examples=[7])]
    at: Instant
    until: Annotated[Instant | None, Meta(description="null: an instant", examples=[None])]
    kind: Annotated[
        Literal["note", "release", "campaign", "incident", "model"],
        Meta(description="model: written by itself, when a phase model is restaged", examples=["release"]),
    ]
    text: Annotated[str, Meta(examples=["New checkout"])]
    created_at: Instant
    created_by: Annotated[str, Meta(examples=["token 3 (dashboard)"])]


class Annotations(Answer):
    """The annotations that touch a span, in the order of time."""

    TABLE: ClassVar[str] = "items"

    items: list[AnnotationAnswer]


def annotation_answer(annotation: Annotation) -> AnnotationAnswer:
    """One annotation that somebody wrote."""
    return AnnotationAnswer(
        id=annotation.id,
        at=rfc3339(annotation.at_us),
        until=instant(annotation.until_us),
        kind=annotation.kind,  # type: ignore[arg-type]
        text=annotation.text,
        created_at=rfc3339(annotation.created_us),
        created_by=annotation.created_by,
    )


def _model_answer(start: ModelStart) -> AnnotationAnswer:
    at = rfc3339(start.created_us)
    text = f"model {start.name} restaged" if start.state == "live" else f"model {start.name} is being restaged"
    return AnnotationAnswer(id=None, at=at, until=None, kind="model", text=text, created_at=at, created_by=BY_ITSELF)


def annotations_answer(written: Iterable[Annotation], starts: Iterable[ModelStart]) -> Annotations:
    """All annotations of a span."""
    items = [(each.at_us, annotation_answer(each)) for each in written]
    items += [(each.created_us, _model_answer(each)) for each in starts]
    return Annotations(items=[answer for _, answer in sorted(items, key=lambda item: item[0])])
