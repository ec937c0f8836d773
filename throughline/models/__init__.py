"""The shipped phase models and their vocabulary, as data, and what reads them and a team's own.

Receives TOML files, guarantees that what it gives is whole (every name, guard and phase exists), gives `journey.model`
values. Read `vocabulary.toml` and `seven_phase.toml`, then `loader.py`.
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
