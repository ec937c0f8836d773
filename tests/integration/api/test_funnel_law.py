"""The law of lists on real PostgreSQL: the customers behind a number of a funnel are exactly as many as it says."""

from collections.abc import Mapping

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.funnel.queries import Outcome, list_customers, read_funnel
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import open_pipeline
from throughline.analytics.abandonment import bins_of, stays, ways_of
from throughline.analytics.funnel import WINDOWS_US, Day, funnel
from throughline.journey.funnel import CUSTOMER, CYCLE, EDGES_US
from throughline.models import load_model
from throughline.store.engine.unit_of_work import reading

DAYS_SEEN = 400


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    case=cases(),
    first=st.integers(1, 4),
    more=st.integers(1, 3),
    unit=st.sampled_from([CYCLE, CUSTOMER]),
    window_us=st.sampled_from([None, *WINDOWS_US.values()]),
    later_us=st.integers(0, 200 * DAY_US),
    channel=st.sampled_from([None, "direct", "email"]),
)
async def test_a_list_is_as_long_as_its_number(
    database: str,
    engine: AsyncEngine,
    case: Case,
    first: int,
    more: int,
    unit: int,
    window_us: int | None,
    later_us: int,
    channel: str | None,
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(case.log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    model = pipeline.models["seven_phase"]
    start_us = START_US - START_US % DAY_US
    span = (start_us, start_us + DAYS_SEEN * DAY_US)
    each_day = Days(tuple(start_us + n * DAY_US for n in range(DAYS_SEEN)), span[1])
    now_us = pipeline.watermark_us
    days = [Day(day_us, now_us - day_us - DAY_US) for day_us in each_day.starts]
    mature_until_us = max(
        (day.start_us + DAY_US for day in days if window_us is None or window_us <= day.seen_us), default=start_us
    )
    customers = CustomerFilter(channels=() if channel is None else (channel,))
    async with reading(engine) as connection:
        counts = (await read_funnel(connection, model, unit, first, each_day, customers)).get(None, [])
        result = funnel(counts, days, (first, first + more), window_us, unit)
        alike = each_day.alike(now_us)
        assert len(alike.starts) <= len(EDGES_US) + 1
        in_groups = (await read_funnel(connection, model, unit, first, alike, customers)).get(None, [])
        assert funnel(in_groups, alike.seen_until(now_us), (first, first + more), window_us, unit) == result
        for within_us in (window_us, None):
            halves = each_day.by_maturity(now_us, within_us)
            assert len(halves.starts) <= 2
            ways = ways_of(first, len(load_model("seven_phase").phases))
            sums = await read_funnel(connection, model, unit, first, halves, customers, None, bins_of(within_us), ways)
            in_halves = stays(sums.get(None, []), halves.seen_until(now_us), first, within_us)
            assert in_halves == stays(counts, days, first, within_us)
        step = result.steps[0]
        numbers: Mapping[Outcome, int] = {
            "cohort": result.cohort,
            "mature": result.mature,
            "immature": result.immature,
            **({} if step.entered is None else {"entered": step.entered}),
            "reached": step.reached,
            "within": step.within.reached,
            "lapsed": step.lapsed,
            "ended": step.ended,
            "still": step.still,
        }
        for outcome, number in numbers.items():
            rows = await list_customers(
                connection,
                model,
                unit,
                (first, first + more),
                span,
                customers,
                outcome,
                window_us=window_us,
                mature_until_us=mature_until_us,
                after=None,
                count=1_000,
            )
            assert len(rows) == number, outcome
            after = [
                row
                for position in (None, *(row.position for row in rows[:-1]))
                for row in await list_customers(
                    connection, model, unit, (first, first + more), span, customers, outcome,
                    window_us=window_us, mature_until_us=mature_until_us, after=position, count=1,
                )
            ]  # fmt: skip
            assert after == rows
    # Time alone settles: it takes nobody back.
    await pipeline.tick(now_us + later_us)
    async with reading(engine) as connection:
        counts = (await read_funnel(connection, model, unit, first, each_day, customers)).get(None, [])
    settled = funnel(counts, each_day.seen_until(pipeline.watermark_us), (first, first + more), window_us, unit)
    assert (settled.cohort, settled.steps[0].reached) == (result.cohort, step.reached)
    assert settled.mature >= result.mature
    assert settled.steps[0].within.reached >= step.within.reached
    assert settled.steps[0].still <= step.still
