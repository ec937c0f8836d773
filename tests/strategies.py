"""Hypothesis strategies for touchpoint logs: few customers, few instants, so that everything collides."""

from hypothesis import strategies as st

from tests.reference import MEANING
from throughline.journey.touchpoint import Touchpoint

INSTANTS = st.integers(1_700_000_000_000_000, 1_700_000_000_000_012)


@st.composite
def touchpoints(draw: st.DrawFn, *, workspace: int = 1, customers: int = 3) -> Touchpoint:
    """One event: message ids repeat, times collide, orders are shared between events."""
    call = draw(st.sampled_from(["track"] * 12 + ["page", "screen", "identify"]))
    name = draw(st.sampled_from(sorted(MEANING))) if call == "track" else "Home"
    return Touchpoint(
        occurred_us=draw(INSTANTS),
        message_id=f"m{draw(st.integers(0, 40))}",
        actor=f"c{draw(st.integers(1, customers))}",
        call=call,
        name=name,
        workspace=workspace,
        source=draw(st.integers(1, 2)),
        channel=draw(st.sampled_from(["direct", "email"])),
        received_us=1_700_000_001_000_000,
        order_id=draw(st.sampled_from(["", "o1", "o2"])),
        value=draw(st.sampled_from([None, 5.0, 10.0])),
        rating=draw(st.sampled_from([None, 3.0, 4.0])),
        score=draw(st.sampled_from([None, 8.0, 9.0])),
    )


def logs(*, workspace: int = 1, customers: int = 3, most: int = 40) -> st.SearchStrategy[list[Touchpoint]]:
    """A log in order of arrival."""
    return st.lists(touchpoints(workspace=workspace, customers=customers), max_size=most)
