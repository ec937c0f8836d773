"""The law of referrals: a forest, in which everybody who came with a code is counted once."""

from collections.abc import Mapping
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.referrals import (
    Arrival,
    Network,
    Quartiles,
    Referral,
    bins_of,
    compared,
    cycle_time,
    network,
)

people = st.sampled_from([bytes([number]) for number in range(6)])
codes = st.sampled_from("abcdef")
arrivals = st.lists(
    st.builds(Arrival, st.integers(0, 4), people, codes), max_size=12, unique_by=lambda arrival: arrival.customer
)


def naive(owners: Mapping[str, bytes], came: list[Arrival]) -> Network:
    """Walks from each advocate up to the one whom nobody has brought."""
    brought: dict[bytes, bytes] = {}
    result = Network([], [], [], [])
    for at_us, customer, code in sorted(came):
        advocate = owners.get(code)
        above = [advocate] if advocate is not None else []
        while above and above[-1] in brought:
            above.append(brought[above[-1]])
        if advocate is None:
            result.unclaimed.append(Arrival(at_us, customer, code))
        elif advocate == customer:
            result.self_referred.append(Arrival(at_us, customer, code))
        elif customer in above:
            result.rings.append(Arrival(at_us, customer, code))
        else:
            brought[customer] = advocate
            result.referrals.append(Referral(at_us, customer, advocate, code))
    return result


@given(st.dictionaries(codes, people), arrivals, st.randoms())
def test_nobody_brings_itself_and_the_order_of_what_is_read_does_not_matter(
    owners: dict[str, bytes], came: list[Arrival], dice: Random
) -> None:
    answer = network(owners, came)
    assert answer == naive(owners, came)
    void = [*answer.unclaimed, *answer.self_referred, *answer.rings]
    assert len(answer.referrals) + len(void) == len(came)
    mixed = list(came)
    dice.shuffle(mixed)
    assert network(owners, mixed) == answer


def test_a_long_chain_takes_no_long_time() -> None:
    names = [number.to_bytes(3, "big") for number in range(100_000)]
    owners = {str(number): name for number, name in enumerate(names)}
    came = [Arrival(number, names[number], str(number - 1)) for number in range(1, len(names))]
    assert len(network(owners, came).referrals) == len(names) - 1
    assert network(owners, [*came, Arrival(10**6, names[0], str(len(names) - 1))]).rings == [
        Arrival(10**6, names[0], str(len(names) - 1))
    ]


def test_the_time_of_a_referral_is_that_of_all_who_came() -> None:
    day = 86_400_000_000
    assert cycle_time([], 0) == Quartiles(None, None, None)
    # Two of four order within a day and within three: half of all, so that three quarters never do.
    quick, slow, never = (0, day // 2), (0, 5 * day // 2), (0, None)
    p25, p50, p75 = cycle_time([quick, slow, never, never], 400 * day)
    assert p25 is not None
    assert p50 is not None
    assert p25 <= day
    assert 2 * day <= p50 <= 3 * day
    assert p75 is None
    # Who came an hour ago cannot have ordered after two days: it does not count there.
    later = (400 * day - day // 24, None)
    assert cycle_time([quick, slow, never, never, later], 400 * day).p50 == pytest.approx(p50, rel=0.2)


def test_groups_are_compared_however_long_they_have_been_seen() -> None:
    day = 86_400_000_000
    now_us = 100 * day

    def group(ended: int, all_of: int, began_us: int = 0) -> list[tuple[int, int | None]]:
        return [(began_us, began_us + 3 * day if number < ended else None) for number in range(all_of)]

    # Without anybody who left the view too early these are plain shares.
    whole = compared(bins_of(group(40, 80), now_us), bins_of(group(20, 80), now_us), 30 * day)
    assert whole is not None
    assert (whole.within_us, whole.first.estimate, whole.other.estimate) == (30 * day, 0.5, 0.25)
    # Greenwood's error of a half of 80 is 0.0559, that of log(-log) 0.1613: exp(-exp(-0.3665 -+ 0.3161)).
    assert (whole.first.low, whole.first.high) == pytest.approx((0.3967, 0.6136), abs=1e-4)
    assert whole.difference.estimate == 0.25
    assert 0 < whole.difference.low < 0.25 < whole.difference.high
    # Many who came yesterday, and so have not ordered after three days, do not make it less.
    late = [*group(40, 80), *group(0, 500, now_us - day)]
    fair = compared(bins_of(late, now_us), bins_of(group(20, 80), now_us), 30 * day)
    assert fair is not None
    assert fair.first.estimate == pytest.approx(0.5)
    # Who has been seen for less than the window says as much as is seen; nobody says nothing.
    short = compared(bins_of(group(4, 8, now_us - 10 * day), now_us), bins_of(group(2, 8), now_us), 30 * day)
    assert short is not None
    assert short.within_us == 10 * day
    assert compared({}, bins_of(group(2, 8), now_us), None) is None
    none = compared(bins_of(group(0, 8), now_us), bins_of(group(8, 8), now_us), None)
    assert none is not None
    assert (none.first.estimate, none.other.estimate, none.difference.estimate) == (0, 1, -1)
