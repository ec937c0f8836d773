"""The nodes of flows by name: `new`, `1/consideration`, `3+/purchase/lapsed`. Pure."""

from services.api.shared.phase_names import phase_number
from throughline.analytics.flows import NEW, Place
from throughline.journey.flows import CYCLE_CLASSES
from throughline.journey.model import Model
from throughline.kit.errors import ServiceError

NEW_NAME = "new"
LAPSED = "/lapsed"
_CLASSES = {cycle: f"{cycle}+" if cycle == CYCLE_CLASSES else str(cycle) for cycle in range(1, CYCLE_CLASSES + 1)}


def class_name(place: Place) -> str | None:
    """The class of cycles of a node; None of `new`."""
    return None if place == NEW else _CLASSES[place.cycle]


def place_name(model: Model, place: Place) -> str:
    """The node's id."""
    if place == NEW:
        return NEW_NAME
    return f"{_CLASSES[place.cycle]}/{model.phases[place.phase - 1].name}{LAPSED if place.lapsed else ''}"


def place_named(model: Model, name: str, field: str) -> Place:
    """The node of an id.

    Raises:
        ServiceError: 400 `invalid_parameter` or `unknown_phase`, which names `field`.
    """
    if name == NEW_NAME:
        return NEW
    class_, _, phase = name.removesuffix(LAPSED).partition("/")
    cycle = next((cycle for cycle, text in _CLASSES.items() if text == class_), None)
    if cycle is None:
        raise ServiceError(
            400,
            "invalid_parameter",
            f"{field}: {name[:100]!r} is no node of /v1/flows, such as 1/{model.phases[0].name} or {NEW_NAME}",
            field=field,
        )
    return Place(cycle, phase_number(model, phase, field), name.endswith(LAPSED))
