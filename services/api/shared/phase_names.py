"""The phases of a model by the names that requests give them. Pure."""

from throughline.journey.model import UNPLACED, Model
from throughline.kit.errors import ServiceError

UNPLACED_NAME = "unplaced"
"""In the place of a phase: customers whom no touchpoint has placed."""


def phase_number(model: Model, name: str, field: str, *, or_unplaced: bool = False) -> int:
    """Returns the number of a phase by its name.

    Args:
        model: whose phase.
        name: as the client sent it.
        field: the parameter that holds it.
        or_unplaced: whether `unplaced` is a name, too.

    Raises:
        ServiceError: 400 `unknown_phase`, which names `field`.
    """
    if or_unplaced and name == UNPLACED_NAME:
        return UNPLACED
    try:
        return model.phase_named(name).number
    except KeyError:
        names = [*(phase.name for phase in model.phases), *([UNPLACED_NAME] if or_unplaced else [])]
        raise ServiceError(
            400,
            "unknown_phase",
            f"{model.name} has no phase {name[:100]!r}; there are: {', '.join(names)}",
            field=field,
        ) from None


def phase_name(model: Model, number: int) -> str:
    """Returns the name of a phase by its number, `unplaced` for none."""
    return UNPLACED_NAME if number == UNPLACED else model.phases[number - 1].name
