"""The law of attribution, on real PostgreSQL: paths are a naive scan of each customer, and all credit is all orders."""

from collections import Counter
from typing import Literal

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.attribution.queries import (
    Dimension,
    PathQuestion,
    Scope,
    count_open_cycles,
    list_orders,
    read_path_rows,
    touch_table,
)
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from tests.reference import replay
from tests.reference.attribution import open_cycles, paths_of
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import open_pipeline
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model
from throughline.store.engine.unit_of_work import reading

MODEL = load_model("seven_phase")
FIRST_US = START_US - START_US % DAY_US
DAYS = Days((FIRST_US,), FIRST_US + 2_000 * DAY_US)
ORIGINS = (
    ("direct", ""),
    ("email", '{"campaign":"spring","medium":"email"}'),
    ("email", '{"campaign":"spring","medium":"email","device":{"type":"mobile"}}'),
    ("social", ""),
    ("direct", '{"device":{"type":"mobile"}}'),
    ("direct", '{"referral_code":"ada"}'),
)

law = settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def kind_of(event: Touchpoint) -> str | None:
    kind = MODEL.kind(event.call, event.name)
    return None if kind is None else kind.name


def is_own(event: Touchpoint) -> bool:
    kind = MODEL.kind(event.call, event.name)
    return kind is None or kind.by_customer


def with_origins(log: list[Touchpoint]) -> list[Touchpoint]:
    """The log, with something known of where some events came from."""
    numbered = []
    for event in log:
        channel, attribution = ORIGINS[int(event.message_id[1:] or 0) % len(ORIGINS)]
        numbered.append(event._replace(channel=channel, attribution=attribution))
    return numbered


@law
@given(
    case=cases(),
    by=st.sampled_from(["channel", "campaign", "device"]),
    lookback_days=st.sampled_from([1, 7, 90]),
    scope=st.sampled_from(["customer", "cycle", "since_previous"]),
    exposures=st.booleans(),
    goal=st.sampled_from([None, None, 2, 4, "browse", "page"]),
)
async def test_paths_are_a_naive_scan(
    database: str,
    engine: AsyncEngine,
    case: Case,
    by: Dimension,
    lookback_days: int,
    scope: Scope,
    exposures: Literal[False, True],
    goal: int | str | None,
) -> None:
    pipeline = await open_pipeline(engine, database)
    log = with_origins([event for event in case.log if event.message_id.startswith("m")])
    pipeline.send(log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    if case.repeated % 3 == 0:
        pipeline.models["seven_phase"] = await pipeline.begin("seven_phase")
        await pipeline.restage_all()
    replayed = replay(log, "seven_phase", pipeline.watermark_us)
    question = PathQuestion(
        pipeline.workspace,
        pipeline.models["seven_phase"],
        DAYS,
        CustomerFilter(),
        touch_table(MODEL),
        by,
        lookback_days * DAY_US,
        scope,
        exposures,
        goal,
    )
    expected = [
        path
        for path in paths_of(
            log, replayed, kind_of, is_own,
            by=by, lookback_us=lookback_days * DAY_US, scope=scope, exposures=exposures, goal=goal,
        )
        if DAYS.from_us <= path.at_us < DAYS.end_us
    ]  # fmt: skip
    async with reading(engine) as connection:
        rows = await read_path_rows(connection, question, has_nulls=True, has_ages=True)
        orders = await list_orders(connection, question, None, None, 1_000)
        values = [*sorted({touch.value for order in orders for touch in order.touches})[:1], "(none)"]
        of_value = {value: await list_orders(connection, question, value, None, 1_000) for value in values}
        others = await list_orders(connection, question, "(other)", None, 1_000, but=values[:1])
        after = orders[0].position if orders else None
        rest = await list_orders(connection, question, None, after, 1_000)
        is_open = await count_open_cycles(connection, question)
    counted: Counter[tuple[tuple[tuple[str, bool], ...], str | None]] = Counter()
    money: Counter[tuple[str | None, str]] = Counter()
    for row in rows:
        counted[tuple(zip(row.values, row.are_direct, strict=True)), row.currency] += row.number
        money[row.currency, "gross"] += row.gross
        money[row.currency, "net"] += row.net
    naive = Counter(
        (tuple((touch.value, touch.channel == "direct") for touch in path.touches), path.currency) for path in expected
    )
    assert counted == naive
    naive_orders = {(path.customer, path.order): path for path in expected if path.order is not None}
    assert len(orders) == len(naive_orders)
    for order in orders:
        path = naive_orders[order.id, order.order]
        assert (order.at_us, order.gross, order.net, order.currency) == (
            path.at_us, path.gross, path.net, path.currency,
        )  # fmt: skip
        assert [(touch.at_us, touch.channel, touch.value, touch.is_exposure) for touch in order.touches] == [
            tuple(touch) for touch in path.touches
        ]
        assert all(touch.age_us == order.at_us - touch.at_us for touch in order.touches)
    for currency in {path.currency for path in naive_orders.values()}:
        of_currency = [path for path in naive_orders.values() if path.currency == currency]
        assert money[currency, "gross"] == sum(path.gross for path in of_currency)
        assert money[currency, "net"] == sum(path.net for path in of_currency)
    for value, listed in of_value.items():
        with_it = [
            order for order in orders if value in ({touch.value for touch in order.touches} or {"(none)"})
        ]  # fmt: skip
        assert [order.position for order in listed] == [order.position for order in with_it]
    with_others = [order for order in orders if {touch.value for touch in order.touches} - set(values[:1])]
    assert [order.position for order in others] == [order.position for order in with_others]
    assert rest == orders[1:]
    assert is_open == open_cycles(log, replayed, kind_of, (DAYS.from_us, DAYS.end_us), goal)
