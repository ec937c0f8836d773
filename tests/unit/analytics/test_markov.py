"""Removal effects against a published example, and what may not change them."""

import random
import time

import pytest

from throughline.analytics import markov as chains
from throughline.analytics.markov import Chain, NoNullsError, Sequences, TooManyStatesError, markov

EXAMPLE = [Sequences(("C1", "C2", "C3"), 1, 0), Sequences(("C1",), 0, 1), Sequences(("C2", "C3"), 0, 1)]


def random_paths(count: int, channels: int, seed: int = 5) -> list[Sequences]:
    dice = random.Random(seed)
    names = [f"channel-{number}" for number in range(channels)]
    lengths = [1 + min(20, int(dice.expovariate(0.25))) for _ in range(count)]
    return [Sequences(tuple(dice.choices(names, k=length)), *dice.choice([(1, 0), (0, 3)])) for length in lengths]


def test_three_channels_of_which_two_are_always_needed() -> None:
    effects = markov(EXAMPLE)
    assert effects.probability == pytest.approx(1 / 3, abs=1e-12)
    assert effects.effects == pytest.approx({"C1": 0.5, "C2": 1, "C3": 1}, abs=1e-12)
    assert effects.shares == pytest.approx({"C1": 0.2, "C2": 0.4, "C3": 0.4}, abs=1e-12)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_chance_of_a_conversion_is_the_share_of_paths_that_convert(order: int) -> None:
    paths = random_paths(300, 4)
    effects = markov(paths, order)
    conversions, nulls = sum(path.conversions for path in paths), sum(path.nulls for path in paths)
    assert effects.probability == pytest.approx(conversions / (conversions + nulls), abs=1e-12)
    assert all(0 <= effect <= 1 for effect in effects.effects.values())
    assert sum(effects.shares.values()) == pytest.approx(1)


@pytest.mark.parametrize("order", [1, 2])
def test_elimination_and_iteration_agree(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = random_paths(500, 6)
    monkeypatch.setattr(chains, "_DENSE_STATES", 1_000)
    eliminated = markov(paths, order)
    monkeypatch.setattr(chains, "_DENSE_STATES", 0)
    iterated = markov(paths, order)
    assert eliminated.probability == pytest.approx(iterated.probability, abs=1e-12)
    assert eliminated.effects == pytest.approx(iterated.effects, abs=1e-11)


def test_repeats_order_rows_names_and_scale_change_nothing() -> None:
    paths = random_paths(200, 4)
    effects = markov(paths).effects
    collapsed = [
        path._replace(values=tuple(v for n, v in enumerate(path.values) if n == 0 or path.values[n - 1] != v))
        for path in paths
    ]
    scaled = [path._replace(conversions=7 * path.conversions, nulls=7 * path.nulls) for path in paths]
    split = [
        path._replace(conversions=part * path.conversions, nulls=(1 - part) * path.nulls)
        for path in paths
        for part in (0, 1)
    ]
    for other in (collapsed, paths[::-1], scaled, split, [*paths[1:], paths[0]]):
        assert markov(other).effects == pytest.approx(effects, abs=1e-9)
    renamed = [path._replace(values=tuple(f"x{value}" for value in path.values)) for path in paths]
    assert markov(renamed).effects == pytest.approx({f"x{name}": effect for name, effect in effects.items()}, abs=1e-12)


def test_a_channel_of_no_converting_path_has_no_effect() -> None:
    effects = markov([*EXAMPLE, Sequences(("C1", "C4"), 0, 5)])
    assert effects.effects["C4"] == pytest.approx(0, abs=1e-12)


def test_without_a_path_that_ends_in_nothing_order_1_is_refused() -> None:
    converting = [Sequences(("a", "b"), 2, 0), Sequences(("b",), 1, 0)]
    with pytest.raises(NoNullsError):
        markov(converting)
    assert markov(converting, 2).probability == pytest.approx(1)
    assert markov([Sequences(("a",), 0, 3)]).shares == {}
    assert markov([]).effects == {}


def test_states_are_limited() -> None:
    with pytest.raises(TooManyStatesError):
        Chain([Sequences((f"{number}",), 1, 1) for number in range(3_000)])


def test_ten_thousand_paths_of_twelve_channels_take_seconds() -> None:
    paths = random_paths(10_000, 12)
    began = time.process_time()
    effects = markov(paths, 2)
    assert len(effects.effects) == 12
    assert time.process_time() - began < 20
