"""Rules of attribution against published examples, and what may not change any credit."""

from collections.abc import Iterable, Mapping

import pytest

from throughline.analytics.attribution import (
    MICRO,
    RULES,
    Converting,
    Credits,
    Path,
    Rule,
    Settings,
    Touch,
    apportion,
    credit,
    prepared,
    rounded_to,
    weights_of,
)
from throughline.journey.durations import DAY_US


def path_of(*values: str, days: Iterable[int] = ()) -> Path:
    ages = [*days] or [0] * len(values)
    return tuple(Touch(value, value.lower() == "direct", age * DAY_US) for value, age in zip(values, ages, strict=True))


def one(path: Path, amount: int) -> list[Converting]:
    """One conversion of an amount in minor units."""
    return [Converting(path, "USD", 1, amount, amount)]


def amounts(credits: Credits, places: int = 2) -> dict[str, float]:
    """Value -> gross, in the currency."""
    return {
        value: round(sum(each.gross for each in of.values()) / MICRO / 100, places) for value, of in credits.items()
    }


ADOBE = path_of("paid search", "social", "email", "display", days=(9, 6, 0, 0))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("linear", [12.5, 12.5, 12.5, 12.5]),
        ("j_shaped", [10, 5, 5, 30]),
        ("inverse_j", [30, 5, 5, 10]),
        ("time_decay", [6.9233, 9.3181, 16.8793, 16.8793]),
        ("participation", [50, 50, 50, 50]),
        ("first", [50, 0, 0, 0]),
        ("last", [0, 0, 0, 50]),
        ("last_non_direct", [0, 0, 0, 50]),
        ("position", [20, 5, 5, 20]),
    ],
)
def test_an_order_of_50_dollars_after_four_touches(rule: Rule, expected: list[float]) -> None:
    result = amounts(credit(one(ADOBE, 5_000), rule), 4)
    # A millionth of the order is half a unit of the last place.
    assert [result.get(touch.value, 0) for touch in ADOBE] == pytest.approx(expected, abs=0.000101)
    if rule != "participation":
        exact = [units / 10_000 for units in apportion(500_000, weights_of(ADOBE, rule))]
        assert exact == pytest.approx(expected, abs=0.00001)


def test_the_same_order_with_the_touches_of_its_visit_alone() -> None:
    visit = one(ADOBE[2:], 5_000)
    assert amounts(credit(visit, "first")) == {"email": 50}
    assert amounts(credit(visit, "linear")) == {"email": 25, "display": 25}


CHANNELS = path_of("paid social", "organic", "paid social", "paid search", "direct", days=(38, 33, 26, 8, 0))


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("last_non_direct", {"paid search": 12_000}),
        ("linear", {"paid social": 4_800, "organic": 2_400, "paid search": 2_400, "direct": 2_400}),
        (
            "time_decay",
            {"paid social": 750.08, "organic": 287.44, "paid search": 3_417.04, "direct": 7_545.45},
        ),
        ("position", {"paid social": 5_600, "organic": 800, "paid search": 800, "direct": 4_800}),
    ],
)
def test_an_order_of_12_000_dollars_after_five_touches(rule: Rule, expected: Mapping[str, float]) -> None:
    result = amounts(credit(one(CHANNELS, 1_200_000), rule))
    assert result == pytest.approx(expected, abs=0.011)
    assert sum(result.values()) == pytest.approx(12_000)


def test_each_touch_of_the_same_order_by_its_age() -> None:
    distinct = tuple(touch._replace(value=str(n)) for n, touch in enumerate(CHANNELS))
    expected = [175.20, 287.44, 574.88, 3_417.04, 7_545.45]
    assert [*amounts(credit(one(distinct, 1_200_000), "time_decay")).values()] == pytest.approx(expected, abs=0.011)


FOUR_USERS = [
    Converting(path_of(*path), "CNY", 1, amount, amount)
    for path, amount in (("osp", 10_000), ("pe", 20_000), ("sosp", 15_000), ("e", 5_000))
]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("first", {"o": 100, "p": 200, "s": 150, "e": 50}),
        ("last", {"p": 250, "e": 250}),
        ("linear", {"o": 70.83, "s": 108.33, "p": 170.83, "e": 150}),
        ("position", {"o": 55, "s": 95, "p": 200, "e": 150}),
    ],
)
def test_orders_of_four_users(rule: Rule, expected: Mapping[str, float]) -> None:
    result = amounts(credit(FOUR_USERS, rule))
    assert result == pytest.approx(expected)
    assert sum(each["CNY"].gross for each in credit(FOUR_USERS, rule).values()) == 50_000 * MICRO


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("first", {"Direct": 140}),
        ("linear", {"Direct": 93.33, "Organic": 46.67}),
        ("position", {"Direct": 112, "Organic": 28}),
    ],
)
def test_direct_before_and_after(rule: Rule, expected: Mapping[str, float]) -> None:
    assert amounts(credit(one(path_of("Direct", "Organic", "Direct"), 14_000), rule)) == expected


def test_direct_never_has_more_than_by_the_last_touch() -> None:
    for path in (path_of("email", "direct"), path_of("direct", "direct"), path_of("direct", "email", "direct")):
        last, non_direct = (credit(one(path, 100), rule).get("direct", {}) for rule in ("last", "last_non_direct"))
        assert sum(each.gross for each in non_direct.values()) <= sum(each.gross for each in last.values())
    assert set(credit(one(path_of("direct", "direct"), 100), "last_non_direct")) == {"direct"}


def test_unique_linear_is_the_shapley_value_of_counts() -> None:
    paths = (("F", 20), ("O", 10), ("L", 17), ("FO", 17), ("FL", 30), ("OL", 0), ("FOL", 6))
    conversions = [Converting(path_of(*path), "", count, 0, 0) for path, count in paths]
    result = {value: of[""].conversions / MICRO for value, of in credit(conversions, "unique_linear").items()}
    assert result == pytest.approx({"F": 45.5, "O": 20.5, "L": 34}, abs=0.00001)
    shares = (("F", 18), ("G", 4), ("L", 8), ("FG", 10), ("FL", 26), ("GL", 7), ("FGL", 27))
    conversions = [Converting(path_of(*path), "", count, 0, 0) for path, count in shares]
    result = {value: of[""].conversions / MICRO / 100 for value, of in credit(conversions, "unique_linear").items()}
    assert result == pytest.approx({"F": 0.45, "G": 0.215, "L": 0.335}, abs=0.000001)


def test_custom_weights_ignore_the_middle_of_two() -> None:
    settings = Settings(weights=(10, 60, 30))
    assert amounts(credit(one(path_of(*"abcd"), 10_000), "custom", settings)) == {"a": 10, "b": 30, "c": 30, "d": 30}
    assert amounts(credit(one(path_of(*"ab"), 10_000), "custom", settings)) == {"a": 25, "b": 75}
    assert amounts(credit(one(path_of("a"), 10_000), "custom", settings)) == {"a": 100}
    only_between = Settings(weights=(0, 1, 0))
    assert amounts(credit(one(path_of(*"ab"), 10_000), "custom", only_between)) == {"a": 50, "b": 50}
    assert amounts(credit(one(path_of(*"abc"), 10_000), "custom", only_between)) == {"b": 100}


@pytest.mark.parametrize(
    ("path", "direct", "transform", "expected"),
    [
        ("Example Video Direct Direct", "keep", "exposure", "Example Video Direct"),
        ("Example Video Direct Direct", "drop_if_others", "none", "Example Video"),
        ("a a a Direct a Direct Direct", "keep", "exposure", "a Direct a Direct"),
        ("a a a Direct a Direct Direct", "keep", "first", "a Direct"),
        ("a a a Direct a Direct Direct", "drop_if_others", "none", "a a a a"),
        ("a a a Direct a Direct Direct", "drop_if_last", "none", "a a a Direct a"),
        ("a a a Direct a Direct Direct", "keep", "unique", "a a a Direct a Direct Direct"),
        ("Direct Direct", "drop_if_others", "none", "Direct Direct"),
        ("Direct Direct", "drop_if_last", "none", "Direct Direct"),
    ],
)
def test_paths_are_prepared(path: str, direct: str, transform: str, expected: str) -> None:
    result = prepared(path_of(*path.split()), direct, transform)  # type: ignore[arg-type]
    assert " ".join(touch.value for touch in result) == expected


def test_conversions_without_a_touch_stand_in_a_row_of_their_own() -> None:
    for rule in RULES:
        assert amounts(credit(one((), 1_000), rule)) == {"(none)": 10}


def test_a_touch_long_ago_has_a_part_however_long() -> None:
    path = path_of("a", "b", days=(100_000, 0))
    credits = credit(one(path, 100), "time_decay")
    assert amounts(credits) == {"b": 1}
    assert amounts(credit(one(path[:1], 100), "time_decay")) == {"a": 1}


def test_parts_add_up() -> None:
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(MICRO, [0, 5, 0]) == [0, MICRO, 0]
    assert rounded_to(10, [3_333_333, 3_333_333, 3_333_334]) == [3, 3, 4]
    assert rounded_to(1, [500_000, 500_000]) == [1, 0]
    assert rounded_to(-1, [-1_500_000, 500_000]) == [-1, 0]
