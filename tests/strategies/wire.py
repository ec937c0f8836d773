"""Touchpoints as they may stand on the wire: every field of `Touchpoint` by its type, whatever fields there are."""

from typing import get_type_hints

from hypothesis import strategies as st

from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import MAX_US, MIN_US

TEXTS = st.text(max_size=200) | st.sampled_from(["", "é" * 100, "x" * 127, "x" * 128, "x" * 16_383, "x" * 16_384])
NUMBERS = st.none() | st.sampled_from([0.0, -0.0]) | st.floats(allow_nan=False, allow_infinity=False)
INSTANTS = st.integers(MIN_US, MAX_US) | st.sampled_from([0, 1, 2**28 - 1, 2**28, 1_795_465_713_000_000])
INTEGERS = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 300)
PLACES = st.integers(0, 2**32 - 1) | st.sampled_from([0, 1, 127, 128, 16_383, 16_384])
BY_TYPE = {
    str: TEXTS,
    int: INTEGERS,
    bool: st.booleans(),
    float | None: NUMBERS,
    tuple[str, ...]: st.lists(TEXTS, max_size=3).map(tuple),
}
NEEDED = ("actor", "message_id", "rest")
"""Texts that are never empty: without them a record is refused, or has a value of its own."""


def _of(name: str, kind: object) -> st.SearchStrategy[object]:
    if name.endswith("_us"):
        return INSTANTS
    if name == "place":
        return PLACES
    values: st.SearchStrategy[object] = BY_TYPE[kind]  # type: ignore[index]
    return values.filter(bool) if name in NEEDED else values


TOUCHPOINTS: st.SearchStrategy[Touchpoint] = st.builds(
    Touchpoint, **{name: _of(name, kind) for name, kind in get_type_hints(Touchpoint).items()}
)
