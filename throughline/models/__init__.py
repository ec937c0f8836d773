"""The shipped phase models and vocabularies, as data, and their loader.

Receives TOML files, guarantees that what it gives is whole (every name, guard and phase exists), gives `journey.model`
values. Read `vocabulary.toml` and `seven_phase.toml`, then `loader.py`.
"""

from throughline.models.loader import ModelError, load_model

__all__ = ["ModelError", "load_model"]
