"""The journey rules once more, written from the rules and not from the code: sort, then walk, look back, no shortcuts.

Receives a log of touchpoints, a model's name and an instant; guarantees nothing but plainness, and is slow on purpose;
gives what the state must be. Read `replay.py`, then `links.py`, `walk.py`, `models.py`, `counts.py`.
"""

from tests.reference.counts import STEPS, Cell, Counts, bucket_start, counts_at, history
from tests.reference.links import distinct, owners, root
from tests.reference.models import NaiveModel, naive_model
from tests.reference.replay import Customer, Replayed, replay
from tests.reference.walk import ENTER, LAPSE, RETURN, Move, State, walk

__all__ = [
    "ENTER",
    "LAPSE",
    "RETURN",
    "STEPS",
    "Cell",
    "Counts",
    "Customer",
    "Move",
    "NaiveModel",
    "Replayed",
    "State",
    "bucket_start",
    "counts_at",
    "distinct",
    "history",
    "naive_model",
    "owners",
    "replay",
    "root",
    "walk",
]
