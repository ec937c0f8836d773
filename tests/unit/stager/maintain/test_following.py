"""The next touchpoints of a customer: all of them in order, whatever ids, ties and sizes."""

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.stager.maintain import following
from services.stager.stage.customer import BEGINNING
from throughline.journey.touchpoint import OrderKey, Touchpoint

MEMBERS = {bytes([number]): f"id{number}" for number in range(5)}
DIGESTS = {name: digest for digest, name in MEMBERS.items()}


class Facts:
    """Answers as the store does: of the last instant any may be left out."""

    def __init__(self, touchpoints: list[Touchpoint]) -> None:
        self.touchpoints = touchpoints
        self.rows = 0

    async def read_following(
        self,
        connection: Any,
        spans: Iterable[tuple[bytes, OrderKey, int]],
        names: Mapping[bytes, str],
        *,
        within_instant: bool = False,
    ) -> dict[bytes, list[Touchpoint]]:
        history: dict[bytes, list[Touchpoint]] = {}
        for digest, place, count in spans:
            later = [t for t in self.touchpoints if t.actor == names[digest] and t[:3] >= place[:3]]
            if within_instant:
                later = sorted(t for t in later if t.occurred_us == place[0])
            else:
                later.sort(key=lambda t: (t.occurred_us, t.message_id[::-1]))
            self.rows += len(later[:count])
            if later:
                history[digest] = sorted(later[:count])
        return history


@given(
    places=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 1), st.sampled_from(sorted(DIGESTS))), max_size=60),
    members=st.integers(1, 5),
    count=st.integers(1, 30),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_pages_are_the_whole_history_in_order(
    places: list[tuple[int, int, str]], members: int, count: int
) -> None:
    of_customer = dict(list(MEMBERS.items())[:members])
    touchpoints = [
        Touchpoint(at_us, place, f"m{number % 7}-{number}", who, "track", "x")
        for number, (at_us, place, who) in enumerate(places)
        if DIGESTS[who] in of_customer
    ]
    facts = Facts(touchpoints)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(following, "facts", facts)
        pages: list[Touchpoint] = []
        after = BEGINNING
        is_end = False
        connection: Any = None
        while not is_end:
            facts.rows = 0
            page, is_end = await following.read_following(connection, of_customer, after, count)
            assert page or is_end
            assert facts.rows <= 20 * (count + 5)
            pages += page
            after = page[-1].order_key if page else after
    assert pages == sorted(touchpoints)
