"""A phase model as values: ranked phases, and for each kind of touchpoint the guarded rules that place it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, TypeVar

from throughline.journey.guards import Guard

UNPLACED = 0
"""The phase number of a customer whom no touchpoint has placed."""

OrderEffect = Literal["", "place", "pay", "edit", "cancel", "refund"]
CartEffect = Literal["", "add", "remove", "replace"]
Friction = Literal["", "payment", "coupon", "form", "stock", "delivery", "support", "error"]

_SEPARATORS = re.compile(r"[\s_\-]+")
_NAMES_REMEMBERED = 8192

_T = TypeVar("_T")


class _Remembered(dict[str, _T]):
    """What a function gives for each text, remembered: a look-up costs a fifth of one in an `lru_cache`.

    SDKs send few distinct names; a client that invents names must not fill the memory, so all are forgotten then.
    """

    def __init__(self, give: Callable[[str], _T]) -> None:
        super().__init__()
        self._give = give

    def __missing__(self, text: str) -> _T:
        if len(self) >= _NAMES_REMEMBERED:
            self.clear()
        value = self[text] = self._give(text)
        return value


class Phase(NamedTuple):
    """One phase. `number` is its rank, from 1. A window is how long a customer may be silent before it lapses."""

    number: int
    name: str
    label: str
    window_us: int
    emptied_window_us: int
    """The window once the cart was emptied in the cycle."""


class Rule(NamedTuple):
    """Places a touchpoint in phase number `phase` when every guard holds. `name` explains the rule to people."""

    name: str
    guards: tuple[Guard, ...]
    phase: int
    ends: bool = False
    """The journey lapses with this touchpoint: a decision that ended in "no"."""


class Kind(NamedTuple):
    """A kind of touchpoint: its rules in order of precedence, and its effects on order and cart."""

    name: str
    rules: tuple[Rule, ...] = ()
    order: OrderEffect = ""
    cart: CartEffect = ""
    is_page: bool = False
    by_customer: bool = True
    """False for what was done to the customer, which neither extends activity nor ends a lapse."""
    friction: Friction = ""
    """What stood in the customer's way."""


def normalise(name: str) -> str:
    """Returns an event name without what SDKs differ in: case, spaces, `_` and `-`."""
    return _SEPARATORS.sub("", name.casefold())


@dataclass(frozen=True)
class Model:
    """A phase model joined with its vocabulary. Build it with `throughline.models`."""

    name: str
    phases: tuple[Phase, ...]
    calls: Mapping[str, Kind]
    """API call -> kind, for calls that mean the same whatever the event's name."""
    names: Mapping[str, Kind]
    """Normalised event name -> kind."""
    kinds: Mapping[str, Mapping[str, Kind | None]] = field(init=False, repr=False, compare=False)
    """API call -> event name -> kind, of every call and name: as `kind`, for whoever asks for each touchpoint."""

    def __post_init__(self) -> None:
        kinds = _Remembered(lambda call: _Remembered(lambda name: self._look_up(call, name)))
        object.__setattr__(self, "kinds", kinds)

    def kind(self, call: str, name: str) -> Kind | None:
        """Returns the kind of a touchpoint of this call and name; None when the vocabulary has none."""
        return self.kinds[call][name]

    def _look_up(self, call: str, name: str) -> Kind | None:
        by_call = self.calls.get(call)
        if by_call is not None:
            return by_call
        return self.names.get(normalise(name)) if call == "track" else None

    def phase_named(self, name: str) -> Phase:
        """Returns the phase of a name.

        Raises:
            KeyError: the model has no such phase.
        """
        for phase in self.phases:
            if phase.name == name:
                return phase
        raise KeyError(name)
