"""Mappings of exports that many have, as files of this folder: `throughline import FILE --as NAME`."""

from pathlib import Path

from throughline.cli.importing.mapping import MappingError

_FOLDER = Path(__file__).parent


def recipe_names() -> list[str]:
    """The names of all recipes."""
    return sorted(file.stem for file in _FOLDER.glob("*.toml"))


def read_recipe(name: str) -> str:
    """The mapping of a recipe, as its file has it.

    Raises:
        MappingError: there is no such recipe.
    """
    if name not in recipe_names():
        raise MappingError(f"--as: {name!r} is none of {', '.join(recipe_names())}")
    return (_FOLDER / f"{name}.toml").read_text()
