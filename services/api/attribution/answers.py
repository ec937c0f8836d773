"""The answers of attribution. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, ClassVar

from msgspec import Meta

from services.api.attribution.queries import OrderRow
from services.api.funnel.answers import Share, share
from services.api.shared.answers import Answer, Instant, ModelName, NextCursor
from services.api.shared.days import DaysFields, OfDays
from throughline.analytics.attribution import MICRO, NO_CREDIT, NONE, OTHER, Converting, Credits, rounded_to
from throughline.analytics.intervals import wilson
from throughline.analytics.paths import BASELINE, PathCount
from throughline.journey.memory import NO_ID
from throughline.journey.money import digits_of
from throughline.kit.clock import rfc3339

DESCRIPTION = "credit describes the ways to orders; it does not say what caused them"

OrdersPath = Callable[[str | None, Sequence[str]], str]
"""Returns the path of the list of orders with a touch of a value (None: of all); of `(other)`, of none of these."""
_ROWS_OF_THEIR_OWN = frozenset({NONE, OTHER, BASELINE})

Currency = Annotated[str, Meta(description="ISO 4217; empty: nobody said which", examples=["EUR"])]
Minor = Annotated[int, Meta(description="in minor units of the currency", examples=[129900])]
Cost = Annotated[
    int | None,
    Meta(description="spent in the span, in minor units (`throughline cost import`); null: none", examples=[40000]),
]
Costs = Sequence[tuple[str, str, int]]
"""(value, currency, amount)."""
Conversions = Annotated[float, Meta(description="orders credited, to the millionth", examples=[12.333333])]
OrdersLink = Annotated[
    dict[str, str],
    Meta(
        description="`orders`: path of the list of exactly these; `(baseline)` has none",
        examples=[{"orders": "/v1/attribution/orders?by=channel&value=email"}],
    ),
]


class Money(Answer):
    """All orders of one currency in the span."""

    currency: Currency
    digits: Annotated[int, Meta(description="decimals of the currency", examples=[2])]
    orders: Annotated[int, Meta(examples=[410])]
    gross: Minor
    net: Annotated[int, Meta(description="less partial refunds", examples=[119900])]
    cost: Cost


class RuleCredit(Answer):
    """What another rule credits."""

    credited: Conversions
    gross: Minor
    net: Minor


class CurrencyCredit(Answer):
    """What is credited to a value in one currency."""

    currency: Currency
    credited: Conversions
    gross: Minor
    net: Minor
    rules: Annotated[dict[str, RuleCredit], Meta(description="by rule of `compare_rules`")]
    cost: Cost
    cpa: Annotated[float | None, Meta(description="cost of an order credited, by `rule`, in minor units; null: none")]
    roas: Annotated[float | None, Meta(description="gross credited by `rule` for each unit of cost; null: no cost")]


class ValueCredit(Answer):
    """What is credited to one value of the dimension."""

    value: Annotated[
        str,
        Meta(
            description="`(none)`: no touch before the order; `(not set)`: touches that name none; `(other)`: all "
            "further values together; `(baseline)`: of `shapley`, what would have come of nothing",
            examples=["email"],
        ),
    ]
    conversions: Conversions
    low: Annotated[
        float | None, Meta(description="bounds of 95 % (bootstrap), with `intervals` under a model; null: not computed")
    ]
    high: float | None
    share: Annotated[float | None, Meta(description="of all orders; null: there are none", examples=[0.31])]
    orders: Annotated[
        int | None, Meta(description="orders with such a touch before them; null: of `(baseline)`", examples=[57])
    ]
    links: OrdersLink
    currencies: list[CurrencyCredit]


class OfPaths(OfDays):
    """What all answers about paths have: the days, and which touches count."""

    goal: Annotated[str, Meta(description="what a conversion is; all that answers call orders are these")]
    by: Annotated[str, Meta(examples=["channel"])]
    lookback: Annotated[str, Meta(examples=["30d"])]
    scope: Annotated[str, Meta(examples=["customer"])]
    direct: Annotated[str, Meta(examples=["keep"])]
    transform: Annotated[str, Meta(examples=["none"])]


class PathsFields(DaysFields):
    """The fields of `OfPaths`."""

    goal: str
    by: str
    lookback: str
    scope: str
    direct: str
    transform: str


class AttributedOrders(OfPaths):
    """Orders of the span and their money by what came before them; the rows add up to the totals."""

    TABLE: ClassVar[str] = "rows.currencies"

    rule: Annotated[str, Meta(examples=["last_non_direct"])]
    orders: Annotated[int, Meta(description="live orders of the span", examples=[410])]
    totals: list[Money]
    adds_up: Annotated[
        bool, Meta(description="whether the rows add up to the totals; false under `participation`, which gives more")
    ]
    rows: Annotated[list[ValueCredit], Meta(description=DESCRIPTION)]
    links: OrdersLink


class TouchCredit(Answer):
    """One touch before an order."""

    at: Instant
    age_seconds: Annotated[float, Meta(description="how long before the order", examples=[86400.0])]
    channel: Annotated[str, Meta(examples=["email"])]
    value: Annotated[str, Meta(description="of the dimension", examples=["spring"])]
    exposure: Annotated[bool, Meta(description="done to the customer, such as an ad shown")]
    credit: Annotated[
        dict[str, float], Meta(description="rule -> share of the order", examples=[{"linear": 0.333333, "last": 1.0}])
    ]


class OrderPath(Answer):
    """One live order, and what each rule credits to the touches before it."""

    customer: Annotated[str, Meta(examples=["user-1"])]
    order: Annotated[str | None, Meta(description="its id; null: it has none", examples=["1001"])]
    at: Instant
    nth: Annotated[int, Meta(description="which live order of the customer", examples=[1])]
    currency: Currency
    gross: Minor
    net: Minor
    touch_count: Annotated[int, Meta(description="of all touches; of more than 64, 8 first and 56 last are here")]
    touches: list[TouchCredit]


class OrderPaths(Answer):
    """A page of the orders behind a number."""

    TABLE: ClassVar[str] = "items"

    model: ModelName
    items: list[OrderPath]
    next_cursor: NextCursor


class PathItem(Answer):
    """Journeys with one path."""

    path: Annotated[
        list[str],
        Meta(description="values of the touches, the first first; empty: no touch", examples=[["social", "email"]]),
    ]
    conversions: Annotated[int, Meta(description="orders", examples=[57])]
    nulls: Annotated[int, Meta(description="cycles that ended without an order", examples=[310])]
    rate: Annotated[Share | None, Meta(description="orders of both")]


class Paths(OfPaths):
    """The paths of the orders of the span, and of the cycles that ended in it without one."""

    TABLE: ClassVar[str] = "paths"

    conversions: Annotated[int, Meta(description="live orders of the span", examples=[410])]
    nulls: Annotated[int, Meta(description="cycles that ended in the span without one", examples=[2210])]
    open_cycles: Annotated[
        int, Meta(description="cycles without an order that go on, last seen in the span: in none of these numbers")
    ]
    paths: Annotated[list[PathItem], Meta(description="those with the most orders first")]
    other: Annotated[PathItem, Meta(description="all further paths together")]


def largest_values(credits: Sequence[Credits], count: int) -> list[str]:
    """Returns the values with the most credit by the first rule, then by the others; rows of their own do not count."""
    conversions = [
        {value: sum(part.conversions for part in of.values()) for value, of in of_rule.items()} for of_rule in credits
    ]
    values = dict.fromkeys(value for of_rule in credits for value in of_rule if value not in _ROWS_OF_THEIR_OWN)
    return sorted(values, key=lambda value: ([-of_rule.get(value, 0) for of_rule in conversions], value))[:count]


def _cut(credits: Credits, told_apart: Sequence[str]) -> Credits:
    """The credits with all further values put together as `(other)`."""
    merged: Credits = {}
    for value, of_value in credits.items():
        row = merged.setdefault(value if value in told_apart or value in _ROWS_OF_THEIR_OWN else OTHER, {})
        for currency, part in of_value.items():
            row[currency] = row.get(currency, NO_CREDIT).plus(part)
    return merged


def _printed(credits: Credits, names: Sequence[str]) -> dict[tuple[str, str], RuleCredit]:
    """(value, currency) -> the credit in whole minor units, which add up to those of all."""
    printed: dict[tuple[str, str], RuleCredit] = {}
    for currency in sorted({currency for of in credits.values() for currency in of}):
        parts = [credits.get(name, {}).get(currency, NO_CREDIT) for name in names]
        gross, net = (
            rounded_to(sum(column) // MICRO, column)
            for column in ([part.gross for part in parts], [part.net for part in parts])
        )
        for name, part, *amounts in zip(names, parts, gross, net, strict=True):
            printed[name, currency] = RuleCredit(part.conversions / MICRO, *amounts)
    return printed


def value_rows(
    converting: Sequence[Converting],
    credits: Mapping[str, Credits],
    limit: int,
    bounds: Mapping[str, tuple[float, float]],
    path: OrdersPath,
    costs: Costs = (),
) -> list[ValueCredit]:
    """The rows of the values, those with the most credit first.

    Args:
        converting: the orders by path.
        credits: by rule, the question's first.
        limit: the maximum number of values told apart.
        bounds: value -> bounds of its share by the first rule.
        path: of the lists of orders.
        costs: of the dimension's values, those with the largest first.
    """
    told_apart = largest_values([*credits.values()], limit)
    # What costs and brings nothing is worth a row, too.
    spent_on = dict.fromkeys(value for value, _, _ in costs if value not in (*told_apart, *_ROWS_OF_THEIR_OWN))
    if not any(
        value not in told_apart for of_rule in credits.values() for value in of_rule.keys() - _ROWS_OF_THEIR_OWN
    ):
        told_apart += [*spent_on][: limit - len(told_apart)]
    spent: dict[tuple[str, str], int] = {}
    for value, currency, amount in costs:
        key = (value if value in told_apart else OTHER, currency)
        spent[key] = spent.get(key, 0) + amount
    cut = {rule: _cut(of_rule, told_apart) for rule, of_rule in credits.items()}
    of_their_own = {name for of_rule in cut.values() for name in of_rule} | {name for name, _ in spent}
    last = [name for name in (OTHER, BASELINE, NONE) if name in of_their_own]
    names = [*told_apart, *last]
    printed = {rule: _printed(of_rule, names) for rule, of_rule in cut.items()}
    (first, of_first), *others = printed.items()
    with_value: dict[str, int] = {}
    orders = 0
    for row in converting:
        orders += row.conversions
        for value in {touch.value if touch.value in told_apart else OTHER for touch in row.path} or {NONE}:
            with_value[value] = with_value.get(value, 0) + row.conversions
    currencies = sorted({row.currency for row in converting} | {currency for _, currency in spent})
    nothing = RuleCredit(0.0, 0, 0)
    rows = []
    for name in names:
        conversions = sum(part.conversions for part in cut[first].get(name, {}).values()) / MICRO
        is_listed = name != BASELINE
        low, high = bounds.get(name, (None, None)) if name != OTHER else (None, None)
        rows.append(
            ValueCredit(
                value=name,
                conversions=conversions,
                low=None if low is None else low * orders,
                high=None if high is None else high * orders,
                share=conversions / orders if orders else None,
                orders=with_value.get(name, 0) if is_listed else None,
                links={"orders": path(name, told_apart)} if is_listed else {},
                currencies=[
                    _of_currency(
                        currency,
                        of_first.get((name, currency), nothing),
                        {rule: of_rule.get((name, currency), nothing) for rule, of_rule in others},
                        spent.get((name, currency)),
                        conversions,
                    )
                    for currency in currencies
                ],
            )
        )
    return rows


def _of_currency(
    currency: str, first: RuleCredit, others: dict[str, RuleCredit], cost: int | None, conversions: float
) -> CurrencyCredit:
    """The credit in one currency. `conversions`: credited in all."""
    return CurrencyCredit(
        currency=currency,
        credited=first.credited,
        gross=first.gross,
        net=first.net,
        rules=others,
        cost=cost,
        cpa=None if cost is None or conversions <= 0 else cost / conversions,
        roas=None if not cost else first.gross / cost,
    )


def totals(converting: Sequence[Converting], costs: Costs = ()) -> list[Money]:
    """All orders by currency, and what was spent."""
    sums: dict[str, list[int]] = {}
    for row in converting:
        of_currency = sums.setdefault(row.currency, [0, 0, 0])
        for place, number in enumerate((row.conversions, row.gross, row.net)):
            of_currency[place] += number
    spent: dict[str, int] = {}
    for _, currency, amount in costs:
        spent[currency] = spent.get(currency, 0) + amount
    return [
        _money(currency, sums.get(currency, [0, 0, 0]), spent.get(currency))
        for currency in sorted(sums.keys() | spent.keys())
    ]


def _money(currency: str, sums: Sequence[int], cost: int | None) -> Money:
    orders, gross, net = sums
    return Money(currency, digits_of(currency), orders, gross, net, cost)


def path_items(counts: Sequence[PathCount], limit: int) -> tuple[list[PathItem], PathItem]:
    """The first paths, and all others together."""
    others = counts[limit:]
    rest = PathCount((OTHER,), sum(row.conversions for row in others), sum(row.nulls for row in others))
    return [_path_item(row) for row in counts[:limit]], _path_item(rest)


def _path_item(row: PathCount) -> PathItem:
    return PathItem(
        list(row.values),
        row.conversions,
        row.nulls,
        share(wilson(row.conversions, row.conversions + row.nulls)),
    )


def order_item(row: OrderRow, shares: Mapping[str, Sequence[int]], *, is_order: bool) -> OrderPath:
    """One order, or entry into a phase. `shares`: rule -> credit of each of its touches, in millionths."""
    return OrderPath(
        customer=row.id,
        order=None if row.order.startswith(NO_ID) or not is_order else row.order,
        at=rfc3339(row.at_us),
        nth=row.nth,
        currency=row.currency,
        gross=row.gross,
        net=row.net,
        touch_count=row.touch_count,
        touches=[
            TouchCredit(
                at=rfc3339(touch.at_us),
                age_seconds=touch.age_us / 1e6,
                channel=touch.channel,
                value=touch.value,
                exposure=touch.is_exposure,
                credit={rule: of_rule[place] / MICRO for rule, of_rule in shares.items()},
            )
            for place, touch in enumerate(row.touches)
        ],
    )
