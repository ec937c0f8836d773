"""A batch and the state it meets to the state it leaves behind. Pure."""

from collections.abc import Callable, Mapping
from typing import Any

from services.stager.batch import Batch
from throughline.journey.diff import Deltas, move, retract
from throughline.journey.fold import Journey, Transition, fold
from throughline.journey.model import Model
from throughline.journey.touchpoint import Touchpoint

JourneyKey = tuple[bytes, int]
"""(customer digest, model id)."""

ModelNamed = Callable[[str], Model]


class Plan:
    """What one batch changes: journeys written, transitions added, counts moved, journeys to fold again."""

    def __init__(self, model_named: ModelNamed) -> None:
        self._model_named = model_named
        self.journeys: list[tuple[Any, ...]] = []
        """Rows (customer digest, model id, customer id, *Journey)."""
        self.transitions: list[tuple[Any, ...]] = []
        """Rows (customer digest, model id, *Transition)."""
        self.deltas: Deltas = {}
        self.late: dict[bytes, str] = {}
        """Customers (digest -> id) that must be folded again from all their facts."""

    def fold_on(self, batch: Batch, states: Mapping[JourneyKey, Journey | None], new: set[bytes]) -> None:
        """The fast path: fold what is new (message digests) onto the states. Customers with late touchpoints go to
        `late`."""
        whole = len(new) == len(batch.rows)
        for digest, customer in batch.customers.items():
            found = customer.touchpoints
            fresh = sorted(found.values() if whole else [t for message, t in found.items() if message in new])
            if not fresh:
                continue
            states_of = [(model, name, states[digest, model]) for model, name in customer.models]
            # A fact without a journey (derived state was removed) is no fast path either.
            orphan = len(fresh) < len(found)
            if any(orphan if state is None else state.is_late(fresh[0]) for _, _, state in states_of):
                self.late[digest] = customer.id
                continue
            for model, name, state in states_of:
                after, transitions = fold(self._model_named(name), state, fresh)
                if after is not None:
                    self._keep(digest, customer.id, model, after, transitions)
                    move(self.deltas, model, state, after, transitions)

    def fold_again(
        self,
        batch: Batch,
        states: Mapping[JourneyKey, Journey | None],
        transitions_before: Mapping[JourneyKey, list[Transition]],
        histories: Mapping[bytes, list[Touchpoint]],
    ) -> None:
        """The re-fold path: retract what the late customers contributed, fold all their facts, contribute that."""
        for digest, customer_id in self.late.items():
            for model, name in batch.customers[digest].models:
                before = states[digest, model]
                if before is not None:
                    retract(self.deltas, model, before, transitions_before.get((digest, model), ()))
                after, transitions = fold(self._model_named(name), None, histories[digest])
                if after is not None:
                    self._keep(digest, customer_id, model, after, transitions)
                    move(self.deltas, model, None, after, transitions)

    def _keep(
        self, customer: bytes, customer_id: str, model: int, after: Journey, transitions: list[Transition]
    ) -> None:
        self.journeys.append((customer, model, customer_id, *after))
        self.transitions += [(customer, model, *transition) for transition in transitions]
