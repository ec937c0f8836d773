"""The phase models of a workspace, and the phases of one."""

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from services.api import schemas
from services.api.auth import AllReaders, Authenticated
from services.api.shared.context import label_of
from services.api.shared.queries import Generation, workspace_of
from services.api.shared.responses import OfModel, json_response
from throughline.journey.model import Model
from throughline.kit.clock import rfc3339
from throughline.models import model_of
from throughline.store.generations import RestageProgress, read_progress

router = APIRouter(tags=["models"])

SECOND_US = 1_000_000


@router.get("/v1/models", response_model=schemas.Models, responses=schemas.responses(), summary="The phase models")
async def get_models(readers: AllReaders, reader: Authenticated) -> Response:
    """The models under which the workspace's journeys can be read (`live`), and those that are being built."""
    async with readers.database.reading("models", one_snapshot=True) as connection:
        found = await workspace_of(connection, reader.workspace, readers.topic)
        progress = {one.id: await read_progress(connection, one.id) for one in found.generations}
    return json_response(
        {
            "default": found.default_model,
            "models": [_model_body(one, found.default_model, progress[one.id]) for one in found.generations],
        }
    )


@router.get("/v1/phases", response_model=schemas.Phases, responses=schemas.responses(400), summary="A model's phases")
async def get_phases(readers: AllReaders, reader: Authenticated, which: Annotated[OfModel, Query()]) -> Response:
    """The model's phases in rank order, and which kinds of touchpoint lead to each."""
    async with readers.reading("phases", reader.workspace, which.model) as (_, applied):
        model = applied.model
    kinds = _kinds_by_phase(model)
    return json_response(
        {
            "model": model.name,
            "label": label_of(applied.generation.name, applied.generation.document),
            "phases": [
                {
                    "number": phase.number,
                    "name": phase.name,
                    "label": phase.label,
                    "window_seconds": phase.window_us // SECOND_US,
                    "touchpoints": sorted(kinds.get(phase.number, ())),
                }
                for phase in model.phases
            ],
        }
    )


def _model_body(generation: Generation, default: str, progress: RestageProgress) -> dict[str, Any]:
    is_live = generation.state == "live"
    return {
        "name": generation.name,
        "label": label_of(generation.name, generation.document),
        "phases": len(model_of(generation.name, generation.document).phases),
        "state": generation.state,
        "default": is_live and generation.name == default,
        "created_at": rfc3339(generation.created_us),
        "progress": None
        if is_live and progress.is_whole
        else {
            "fraction": round(progress.fraction, 4),
            "customers": progress.customers,
            "of_customers": progress.of_customers,
            "touchpoints": progress.touchpoints,
        },
    }


def _kinds_by_phase(model: Model) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for kind in (*model.calls.values(), *model.names.values()):
        for rule in kind.rules:
            found.setdefault(rule.phase, set()).add(kind.name)
    return found
