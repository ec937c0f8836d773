"""The phase models of a workspace, and the phases of one."""

from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query

from services.api.auth import Token
from services.api.models.answers import Models, Phases, model_item, phases_answer
from services.api.models.queries import progress_of
from services.api.shared.context import Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import ModelParameters, NamesParameters
from services.api.shared.queries import read_workspace
from services.api.shared.responses import AnswerResponse
from services.api.shared.workspace import min_cell_of, reading_model

router = APIRouter(tags=["models"], route_class=AnswerRoute)


class GenerationPosition(NamedTuple):
    """The place of a generation in the list: by name, and of one name by age."""

    name: str
    id: int


cursors = CursorCodec("g", GenerationPosition)


@router.get("/v1/models", responses=problem_responses(400), summary="The phase models")
async def get_models(
    context: Context, token: Token, parameters: Annotated[NamesParameters, Query()]
) -> AnswerResponse[Models]:
    """The models under which the workspace's journeys can be read (`live`), and those that are being built."""
    after = cursors.decode(parameters.cursor)
    async with context.database.reading("models", token.workspace, consistent=True) as connection:
        workspace = await read_workspace(connection, token.workspace, context.topic)
        places = {GenerationPosition(each.name, each.id): each for each in workspace.generations}
        following = [place for place in sorted(places) if after is None or place > after]
        page, last = split_page(following, parameters.limit)
        generations = [places[place] for place in page]
        progress = await progress_of(connection, generations)
    default = workspace.default_model
    min_cell = await min_cell_of(context, token.workspace, None)
    items = [model_item(generation, default, progress[generation.id], min_cell or 1) for generation in generations]
    return AnswerResponse(Models(default, items, None if last is None else cursors.encode(last)))


@router.get("/v1/phases", responses=problem_responses(400), summary="A model's phases")
async def get_phases(
    context: Context, token: Token, parameters: Annotated[ModelParameters, Query()]
) -> AnswerResponse[Phases]:
    """The model's phases in rank order, and which kinds of touchpoint lead to each."""
    async with reading_model(context, "phases", token.workspace, parameters.model) as (_, live):
        generation = live.generation
    return AnswerResponse(phases_answer(generation))
