"""Rows of attribution: they add up, whatever is cut, and costs stand beside the credit that they are compared with."""

from collections.abc import Sequence

from services.api.attribution.answers import path_items, totals, value_rows
from throughline.analytics.attribution import Converting, Touch, credit
from throughline.analytics.paths import Journeys, counted, markov_credit, shapley_credit


def path_of(*values: str) -> tuple[Touch, ...]:
    return tuple(Touch(value, value == "direct") for value in values)


FOUND = [
    Converting(path_of("email", "social", "direct"), "EUR", 1, 1_000, 900),
    Converting(path_of("email"), "EUR", 2, 2_001, 2_001),
    Converting(path_of("display", "affiliate", "video"), "USD", 1, 500, 0),
    Converting((), "EUR", 3, 99, 99),
]
COSTS = [("email", "EUR", 100), ("radio", "EUR", 50), ("radio", "CHF", 5)]


def path(value: str | None, told_apart: Sequence[str]) -> str:
    return f"/orders?value={value}" + (f"&except={','.join(told_apart)}" if value == "(other)" else "")


def test_rows_add_up_to_the_totals_whatever_is_cut() -> None:
    credits = {rule: credit(FOUND, rule) for rule in ("linear", "first")}
    for limit in (1, 2, 4, 20):
        rows = value_rows(FOUND, credits, limit, {}, path, COSTS)
        assert len([row for row in rows if not row.value.startswith("(")]) <= limit
        assert [row.value for row in rows][-1] == "(none)"
        for total in totals(FOUND, COSTS):
            parts = [part for row in rows for part in row.currencies if part.currency == total.currency]
            for credited in (parts, [part.rules["first"] for part in parts]):
                assert sum(part.gross for part in credited) == total.gross
                assert sum(part.net for part in credited) == total.net
                assert round(sum(part.credited for part in credited), 6) == total.orders
            assert sum(part.cost or 0 for part in parts) == (total.cost or 0)
        assert round(sum(row.share or 0 for row in rows), 6) == 1


def test_a_row_has_its_orders_its_cost_and_its_list() -> None:
    rows = {row.value: row for row in value_rows(FOUND, {"last": credit(FOUND, "last")}, 20, {}, path, COSTS)}
    email = rows["email"]
    assert (email.conversions, email.orders, email.links) == (2, 3, {"orders": "/orders?value=email"})
    chf, euro, _ = email.currencies
    assert (euro.currency, euro.gross, euro.cost, euro.cpa, euro.roas) == ("EUR", 2_001, 100, 50, 20.01)
    assert (chf.currency, chf.cost, chf.cpa, chf.roas) == ("CHF", None, None, None)
    # What costs and brings nothing has a row.
    radio = rows["radio"]
    assert (radio.conversions, radio.orders) == (0, 0)
    assert [(part.cost, part.cpa, part.roas) for part in radio.currencies] == [
        (5, None, 0.0), (50, None, 0.0), (None, None, None),
    ]  # fmt: skip
    assert rows["(none)"].orders == 3
    cut = {row.value: row for row in value_rows(FOUND, {"last": credit(FOUND, "last")}, 1, {}, path)}
    # Of two orders with other touches one has email, too.
    assert cut["(other)"].orders == 2
    assert cut["(other)"].links == {"orders": "/orders?value=(other)&except=email"}


def test_no_orders_are_an_empty_table() -> None:
    assert value_rows([], {"linear": credit([], "linear")}, 20, {}, path) == []
    assert totals([]) == []


JOURNEYS = [
    *(Journeys(row.path, row.currency, row.conversions, row.gross, row.net) for row in FOUND),
    Journeys(path_of("email"), None, 5),
    Journeys(path_of("social", "direct"), None, 4),
    Journeys((), None, 2),
]


def test_models_share_all_orders_and_say_how_sure_they_are() -> None:
    counts = counted(JOURNEYS)
    for model in (markov_credit(counts, 1, with_bounds=True), shapley_credit(counts, with_bounds=True)):
        rows = value_rows(FOUND, {"model": model.credits(FOUND)}, 20, model.bounds, path)
        for total in totals(FOUND):
            parts = [part for row in rows for part in row.currencies if part.currency == total.currency]
            assert sum(part.gross for part in parts) == total.gross
            assert round(sum(part.credited for part in parts), 6) == total.orders
        email = next(row for row in rows if row.value == "email")
        assert email.low is not None
        assert email.high is not None
        assert email.low <= email.conversions <= email.high
    assert [row.value for row in rows][-2:] == ["(baseline)", "(none)"]
    assert rows[-1].conversions == 0


def test_paths_are_counted_and_cut() -> None:
    items, other = path_items(counted(JOURNEYS), 1)
    assert [(item.path, item.conversions, item.nulls) for item in items] == [([], 3, 2)]
    assert (other.conversions, other.nulls) == (4, 9)
    assert items[0].rate is not None
    assert items[0].rate.rate == 0.6
    merged = counted(JOURNEYS, "drop_if_others")
    assert next(row for row in merged if row.values == ("email", "social")).conversions == 1
