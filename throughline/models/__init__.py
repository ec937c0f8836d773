"""The shipped phase models and their vocabulary as data, and the loader of these and of a team's own models.

Receives TOML files; guarantees that every name, guard and phase of a model exists; gives `journey.model` values.
Read `vocabulary.toml` and `seven_phase.toml`, then `loader.py`.
"""

from throughline.models.document import ModelError
from throughline.models.loader import (
    Definition,
    define,
    load_model,
    model_of,
    parse_model,
    shipped_models,
    shipped_text,
    vocabulary,
)

__all__ = [
    "Definition",
    "ModelError",
    "define",
    "load_model",
    "model_of",
    "parse_model",
    "shipped_models",
    "shipped_text",
    "vocabulary",
]
