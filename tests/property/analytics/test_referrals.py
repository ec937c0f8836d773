"""The law of referrals: a forest, in which everybody who came with a code is counted once."""

from collections.abc import Mapping
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.referrals import Arrival, Network, Referral, network

people = st.sampled_from([bytes([number]) for number in range(6)])
codes = st.sampled_from("abcdef")
arrivals = st.lists(
    st.builds(Arrival, st.integers(0, 4), people, codes), max_size=12, unique_by=lambda arrival: arrival.customer
)


def naive(owners: Mapping[str, bytes], came: list[Arrival]) -> Network:
    """Walks from each advocate up to the one whom nobody has brought."""
    brought: dict[bytes, bytes] = {}
    result = Network([], 0, 0, 0)
    for at_us, customer, code in sorted(came):
        advocate = owners.get(code)
        above = [advocate] if advocate is not None else []
        while above and above[-1] in brought:
            above.append(brought[above[-1]])
        if advocate is None:
            result = result._replace(unclaimed=result.unclaimed + 1)
        elif advocate == customer:
            result = result._replace(self_referred=result.self_referred + 1)
        elif customer in above:
            result = result._replace(rings=result.rings + 1)
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
    assert len(answer.referrals) + answer.unclaimed + answer.self_referred + answer.rings == len(came)
    mixed = list(came)
    dice.shuffle(mixed)
    assert network(owners, mixed) == answer


def test_a_long_chain_takes_no_long_time() -> None:
    names = [number.to_bytes(3, "big") for number in range(100_000)]
    owners = {str(number): name for number, name in enumerate(names)}
    came = [Arrival(number, names[number], str(number - 1)) for number in range(1, len(names))]
    assert len(network(owners, came).referrals) == len(names) - 1
    assert network(owners, [*came, Arrival(10**6, names[0], str(len(names) - 1))]).rings == 1
