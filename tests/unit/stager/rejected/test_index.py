"""By what the stager counts dropped events: by their names, as long as these are not too many."""

from hypothesis import given
from hypothesis import strategies as st

from services.stager.rejected.index import NAMES, counted_by
from throughline.store.rejected import CONSENT, OTHER, Reason


def dropped(source: int, name: str) -> Reason:
    return Reason(1, 0, source, CONSENT, "no_consent", name)


NAMED = st.lists(
    st.builds(dropped, st.integers(1, 2), st.integers(0, 3 * NAMES).map(lambda n: f"{n or ''}")), max_size=4 * NAMES
)


@given(NAMED, NAMED)
def test_each_event_counts_once_and_names_are_bounded(first: list[Reason], second: list[Reason]) -> None:
    known: set[Reason] = set()
    for events in (first, second):
        found = counted_by(events, known)
        assert [one._replace(name="") for one in found] == [one._replace(name="") for one in events]
        for sent, counted in zip(events, found, strict=True):
            assert counted.name == sent.name or (sent.name and counted.name == OTHER)
        # What was there goes on under its name, and so does what has none.
        assert all(sent in found for sent in events if sent in known or not sent.name)
        known |= {one for one in found if one.name}
    for source in (1, 2):
        assert sum(one.source == source and one.name != OTHER for one in known) <= NAMES


def test_the_first_names_have_counts_of_their_own() -> None:
    events = [dropped(1, f"n{number}") for number in range(NAMES + 2)]
    assert counted_by(events, ()) == [*events[:NAMES], dropped(1, OTHER), dropped(1, OTHER)]
    assert counted_by(events[-2:], events[:1]) == events[-2:]
