"""What people write on the time axes of a workspace, and which generations of its models began."""

from typing import Any, NamedTuple

from sqlalchemy import delete, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.names import insert_row
from throughline.store.schema.access import annotations, workspaces
from throughline.store.schema.operations import models

MAX_ANNOTATIONS = 500
"""Maximum number of annotations of a workspace, and of generations among them."""


class Annotation(NamedTuple):
    """One annotation: of an instant, or from then until an end."""

    id: int
    at_us: int
    until_us: int | None
    kind: str
    text: str
    created_us: int
    created_by: str


class ModelStart(NamedTuple):
    """A generation of a model that was begun after the workspace."""

    name: str
    state: str
    created_us: int


class TooManyAnnotationsError(Exception):
    """The workspace has as many annotations as it may."""


_c = annotations.c
_columns = [_c[name] for name in Annotation._fields]


async def list_annotations(
    connection: AsyncConnection, workspace: int, *, from_us: int | None, to_us: int | None
) -> list[Annotation]:
    """Returns the annotations that touch a span, in the order of time."""
    query = select(*_columns).where(_c.workspace == workspace).order_by(_c.at_us, _c.id).limit(MAX_ANNOTATIONS)
    if from_us is not None:
        query = query.where(or_(_c.at_us >= from_us, _c.until_us > from_us))
    if to_us is not None:
        query = query.where(_c.at_us < to_us)
    return [Annotation(*row) for row in await connection.execute(query)]


async def list_model_starts(
    connection: AsyncConnection, workspace: int, *, from_us: int | None, to_us: int | None
) -> list[ModelStart]:
    """Returns the generations that were begun within a span, live and building ones, in the order of time.

    Those that a workspace begins with are none: nothing was otherwise before.
    """
    c = models.c
    query = (
        select(c.name, c.state, c.created_us)
        .join(workspaces, workspaces.c.id == c.workspace)
        .where(c.workspace == workspace, c.state != "retired", c.created_us > workspaces.c.created_us)
        .order_by(c.created_us, c.id)
        .limit(MAX_ANNOTATIONS)
    )
    if from_us is not None:
        query = query.where(c.created_us >= from_us)
    if to_us is not None:
        query = query.where(c.created_us < to_us)
    return [ModelStart(*row) for row in await connection.execute(query)]


async def find_annotation(connection: AsyncConnection, workspace: int, annotation: int) -> Annotation | None:
    """Returns an annotation; None: the workspace has none of that id."""
    query = select(*_columns).where(_c.workspace == workspace, _c.id == annotation)
    row = (await connection.execute(query)).first()
    return None if row is None else Annotation(*row)


async def create_annotation(connection: AsyncConnection, workspace: int, **values: object) -> int:
    """Write an annotation; returns its id.

    Raises:
        TooManyAnnotationsError: delete one first.
    """
    if (await connection.scalar(select(func.count()).where(_c.workspace == workspace)) or 0) >= MAX_ANNOTATIONS:
        raise TooManyAnnotationsError
    annotation = await insert_row(connection, annotations, workspace=workspace, **values)
    assert annotation is not None
    return annotation


async def change_annotation(
    connection: AsyncConnection, workspace: int, annotation: int, changes: dict[str, Any]
) -> None:
    """Change fields of an annotation."""
    await connection.execute(
        update(annotations).where(_c.workspace == workspace, _c.id == annotation).values(changes).returning(_c.id)
    )


async def drop_annotation(connection: AsyncConnection, workspace: int, annotation: int) -> Annotation | None:
    """Delete an annotation; returns what it was, None: the workspace has none of that id."""
    query = delete(annotations).where(_c.workspace == workspace, _c.id == annotation).returning(*_columns)
    row = (await connection.execute(query)).first()
    return None if row is None else Annotation(*row)
