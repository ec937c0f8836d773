"""The journey rules a second time, written from the rules and not from the code: sort, then walk, without shortcuts.

Receives a log of touchpoints, the name of a model and an instant; guarantees to be plain, and is slow on purpose; gives
the state that follows from them. Read `replay.py`, then `links.py`, `walk.py`, `models.py`, `counts.py`.
"""

from tests.reference.counts import STEPS, Cell, Counts, bucket_start, counts_at, history
from tests.reference.links import distinct, owners, root
from tests.reference.models import NaiveModel, naive_model
from tests.reference.replay import Customer, Replayed, replay
from tests.reference.walk import ENTER, LAPSE, RETURN, NaiveTransition, State, walk

__all__ = [
    "ENTER",
    "LAPSE",
    "RETURN",
    "STEPS",
    "Cell",
    "Counts",
    "Customer",
    "NaiveModel",
    "NaiveTransition",
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
