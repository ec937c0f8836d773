"""Annotations of time axes: read by whoever reads, written by whoever edits."""

from typing import Annotated

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, ConfigDict, Field

from services.api.annotations.answers import (
    AnnotationAnswer,
    Annotations,
    Kind,
    annotation_answer,
    annotations_answer,
)
from services.api.auth import EditToken, Token
from services.api.shared.context import Context
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import InstantText, Parameters, parse_instant, parse_optional_instant
from services.api.shared.responses import AnswerResponse
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.store.annotations import (
    MAX_ANNOTATIONS,
    Annotation,
    TooManyAnnotationsError,
    change_annotation,
    create_annotation,
    drop_annotation,
    find_annotation,
    list_annotations,
    list_model_starts,
)

router = APIRouter(tags=["annotations"], route_class=AnswerRoute)

MAX_TEXT = 200
LINE = r"^[^\x00-\x1f\x7f]*[^\x00-\x20\x7f][^\x00-\x1f\x7f]*$"
"""A line of text that is not empty."""

_Text = Annotated[str, Field(min_length=1, max_length=MAX_TEXT, pattern=LINE, examples=["New checkout"])]
_Id = Annotated[int, Path(ge=1, lt=2**63)]
_NOT_FOUND = "no annotation has that id"


class AnnotationsParameters(Parameters):
    """Which annotations."""

    from_: InstantText | None = Field(None, alias="from", description="those at this instant or later, or not over yet")
    to: InstantText | None = Field(None, description="those before this instant")


class AnnotationBody(BaseModel):
    """What to write."""

    model_config = ConfigDict(extra="forbid")

    at: InstantText
    until: InstantText | None = Field(None, description="null: an instant")
    text: _Text
    kind: Kind = "note"


class AnnotationChangeBody(BaseModel):
    """What to change; what is left out stays."""

    model_config = ConfigDict(extra="forbid")

    at: InstantText | None = None
    until: InstantText | None = Field(None, description="null: an instant")
    text: _Text | None = None
    kind: Kind | None = None


@router.get("/v1/annotations", responses=problem_responses(400), summary="Annotations of a span")
async def get_annotations(
    context: Context, token: Token, parameters: Annotated[AnnotationsParameters, Query()]
) -> AnswerResponse[Annotations]:
    """Everything that was written about a span, and the phase models that were restaged in it, which appear by
    themselves."""
    span = {
        "from_us": parse_optional_instant(parameters.from_, "from"),
        "to_us": parse_optional_instant(parameters.to, "to"),
    }
    async with context.database.reading("annotations", token.workspace, consistent=True) as connection:
        written = await list_annotations(connection, token.workspace, **span)
        starts = await list_model_starts(connection, token.workspace, **span)
    return AnswerResponse(annotations_answer(written, starts))


@router.post(
    "/v1/annotations",
    responses=problem_responses(400, conflict="the workspace has as many annotations as it may"),
    summary="Annotate",
)
async def post_annotation(context: Context, token: EditToken, body: AnnotationBody) -> AnswerResponse[AnnotationAnswer]:
    """Write on the time axes of the workspace, for all of its readers."""
    at_us, until_us = parse_instant(body.at, "at"), parse_optional_instant(body.until, "until")
    _check_span(at_us, until_us)
    written = {"at_us": at_us, "until_us": until_us, "kind": body.kind, "text": body.text.strip()}
    stored = {**written, "created_us": now_us(), "created_by": token.who}
    entry: dict[str, object] = {}
    try:
        async with context.database.administering(token, "annotation create", entry) as connection:
            entry["annotation"] = number = await create_annotation(connection, token.workspace, **stored)
    except TooManyAnnotationsError:
        raise ServiceError(
            409,
            "too_many_annotations",
            f"the workspace has {MAX_ANNOTATIONS} annotations, as many as it may; delete one first",
        ) from None
    return AnswerResponse(annotation_answer(Annotation(number, **stored)))  # type: ignore[arg-type]


@router.patch(
    "/v1/annotations/{annotation}",
    responses=problem_responses(400, not_found=_NOT_FOUND),
    summary="Change an annotation",
)
async def patch_annotation(
    context: Context, token: EditToken, annotation: _Id, body: AnnotationChangeBody
) -> AnswerResponse[AnnotationAnswer]:
    """Change what is named. `until` may be null; null of the others changes nothing."""
    given = body.model_dump(exclude_unset=True)
    changes = {name: value for name, value in given.items() if name in ("text", "kind") and value is not None}
    if "text" in changes:
        changes["text"] = changes["text"].strip()
    if body.at is not None:
        changes["at_us"] = parse_instant(body.at, "at")
    if "until" in given:
        changes["until_us"] = parse_optional_instant(body.until, "until")
    entry = {"annotation": annotation, "changed": sorted(name.removesuffix("_us") for name in changes)}
    async with context.database.administering(token, "annotation change", entry) as connection:
        stored = await find_annotation(connection, token.workspace, annotation)
        if stored is None:
            raise ServiceError(404, "unknown_annotation", _NOT_FOUND)
        changed = stored._replace(**changes)
        _check_span(changed.at_us, changed.until_us)
        if changes:
            await change_annotation(connection, token.workspace, annotation, changes)
    return AnswerResponse(annotation_answer(changed))


@router.delete(
    "/v1/annotations/{annotation}",
    responses=problem_responses(400, not_found=_NOT_FOUND),
    summary="Delete an annotation",
)
async def delete_annotation(context: Context, token: EditToken, annotation: _Id) -> AnswerResponse[AnnotationAnswer]:
    """Delete an annotation; the answer is what it was."""
    async with context.database.administering(token, "annotation delete", {"annotation": annotation}) as connection:
        deleted = await drop_annotation(connection, token.workspace, annotation)
        if deleted is None:
            raise ServiceError(404, "unknown_annotation", _NOT_FOUND)
    return AnswerResponse(annotation_answer(deleted))


def _check_span(at_us: int, until_us: int | None) -> None:
    if until_us is not None and until_us <= at_us:
        raise ServiceError(400, "invalid_parameter", "until: give an instant after at, or null", field="until")
