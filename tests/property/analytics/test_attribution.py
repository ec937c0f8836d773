"""Laws of attribution: credit adds up under every rule, and changes with the paths as it has to."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from throughline.analytics.attribution import (
    MICRO,
    RULES,
    SUMS_TO_MORE,
    Converting,
    Credit,
    Credits,
    Direct,
    Rule,
    Settings,
    Touch,
    Transform,
    credit,
    prepared,
    rounded_to,
)
from throughline.journey.durations import DAY_US

CHANNELS = ("direct", "email", "social", "display")
touches = st.builds(
    lambda value, age: Touch(value, value == "direct", age), st.sampled_from(CHANNELS), st.integers(0, 90 * DAY_US)
)
paths = st.lists(touches, max_size=8).map(
    lambda path: tuple(sorted(path, key=lambda touch: -touch.age_us))
)  # fmt: skip
conversions = st.builds(
    Converting, paths, st.sampled_from(["EUR", "USD", ""]), st.integers(1, 9), st.integers(-500, 10**6),
    st.integers(0, 10**6),
)  # fmt: skip
rules = st.sampled_from(RULES)
directs: st.SearchStrategy[Direct] = st.sampled_from(["keep", "drop_if_others", "drop_if_last"])
transforms: st.SearchStrategy[Transform] = st.sampled_from(["none", "unique", "exposure", "first"])
weights = st.tuples(*[st.integers(0, 100)] * 3).filter(any)


def totals(credits: Credits) -> dict[str, Credit]:
    result: dict[str, Credit] = {}
    for of in credits.values():
        for currency, part in of.items():
            result[currency] = result.get(currency, Credit()).plus(part)
    return result


@given(st.lists(conversions, max_size=12), rules, weights, directs, transforms)
def test_all_credit_is_all_orders(
    orders: list[Converting],
    rule: Rule,
    custom: tuple[int, int, int],
    direct: Direct,
    transform: Transform,
) -> None:
    credits = credit(orders, rule, Settings(weights=custom), direct, transform)
    expected: dict[str, Credit] = {}
    for _, currency, number, gross, net in orders:
        part = Credit(number * MICRO, gross * MICRO, net * MICRO)
        expected[currency] = expected.get(currency, Credit()).plus(part)
    if rule in SUMS_TO_MORE:
        assert all(totals(credits)[currency].conversions >= part.conversions for currency, part in expected.items())
        return
    assert totals(credits) == expected
    for currency, part in expected.items():
        exact = [of[currency].gross for of in credits.values() if currency in of]
        rounded = rounded_to(part.gross // MICRO, exact)
        assert sum(rounded) == part.gross // MICRO
        assert all(abs(whole - micro / MICRO) < 1 for whole, micro in zip(rounded, exact, strict=True))


@given(st.lists(conversions, min_size=1, max_size=8), rules, st.randoms(use_true_random=False), st.integers(2, 5))
def test_credit_does_not_hang_on_order_rows_names_or_scale(
    orders: list[Converting], rule: Rule, dice: object, times: int
) -> None:
    credits = credit(orders, rule)
    shuffled = sorted(orders, key=lambda _: dice.random())  # type: ignore[attr-defined]
    assert credit(shuffled, rule) == credits
    split = [Converting(path, currency, 1, 0, 0) for path, currency, number, _, _ in orders for _ in range(number - 1)]
    split += [row._replace(conversions=1) for row in orders]
    assert credit(split, rule) == credits
    renamed = [
        row._replace(path=tuple(touch._replace(value=f"x-{touch.value}") for touch in row.path)) for row in orders
    ]
    assert credit(renamed, rule) == {
        value if value == "(none)" else f"x-{value}": part for value, part in credits.items()
    }
    scaled = [row._replace(conversions=row.conversions * times) for row in orders]
    assert {value: {c: part.conversions for c, part in of.items()} for value, of in credit(scaled, rule).items()} == {
        value: {c: part.conversions * times for c, part in of.items()} for value, of in credits.items()
    }


@given(paths)
def test_repeats_put_together_leave_the_ends_as_they_are(path: tuple[Touch, ...]) -> None:
    row = [Converting(path, "EUR", 1, 100, 100)]
    for rule in ("first", "last", "unique_linear", "participation"):
        assert credit(row, rule, transform="exposure") == credit(row, rule)
    values = Counter(touch.value for touch in prepared(path, transform="first"))
    assert set(values.values()) <= {1}
    assert set(values) == {touch.value for touch in path}
