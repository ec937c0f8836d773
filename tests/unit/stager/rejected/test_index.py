"""Dropped events are counted by their names, as long as these are not too many."""

from hypothesis import given
from hypothesis import strategies as st

from services.stager.rejected.index import NAMES, RENEWED, counted_by, newest_of
from throughline.kit.stages import RejectionStage
from throughline.store.admission import OTHER
from throughline.store.rejected import Reason


def dropped(source: int, name: str) -> Reason:
    return Reason(1, 0, source, RejectionStage.CONSENT, "no_consent", name)


NAMED = st.lists(
    st.builds(dropped, st.integers(1, 2), st.integers(0, 3 * NAMES).map(lambda n: f"{n or ''}")), max_size=4 * NAMES
)


@given(NAMED, NAMED)
def test_each_event_counts_once_and_names_are_bounded(first: list[Reason], second: list[Reason]) -> None:
    stored: set[Reason] = set()
    for events in (first, second):
        reasons = counted_by(events, stored)
        assert [reason._replace(name="") for reason in reasons] == [event._replace(name="") for event in events]
        for event, reason in zip(events, reasons, strict=True):
            assert reason.name == event.name or (event.name and reason.name == OTHER)
        # A name that is stored goes on being counted, and so do events without a name.
        assert all(event in reasons for event in events if event in stored or not event.name)
        stored |= {reason for reason in reasons if reason.name}
    for source in (1, 2):
        assert sum(reason.source == source and reason.name != OTHER for reason in stored) <= NAMES


def test_the_first_names_have_counts_of_their_own() -> None:
    events = [dropped(1, f"n{number}") for number in range(NAMES + 2)]
    assert counted_by(events, ()) == [*events[:NAMES], dropped(1, OTHER), dropped(1, OTHER)]
    assert counted_by(events[-2:], events[:1]) == events[-2:]


def test_a_sample_keeps_the_newest() -> None:
    often, once = Reason(1, 0, 1, "ingest", "missing_id"), Reason(1, 0, 2, "ingest", "missing_id")
    reasons = [often] * 300 + [once] + [often] * 5 + [dropped(1, "n")]
    newest = newest_of(reasons, {}, 100)
    assert newest == [False] * 205 + [True] * 95 + [True] + [True] * 5 + [False]
    # Of a whole sample a part is renewed: whoever sends without end does not have all written again and again.
    newest = newest_of(reasons, {often: 100, once: 100}, 100)
    kept_places = [place for place, is_kept in enumerate(newest) if is_kept]
    assert kept_places == [295, 296, 297, 298, 299, 300, 301, 302, 303, 304, 305]
    assert len(kept_places) == RENEWED + 1
    assert newest_of([often], {}, 0) == [False]
