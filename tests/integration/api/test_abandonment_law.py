"""The law of what is asked, on real PostgreSQL: it is a naive scan of each customer, and it adds up to what is kept."""

from collections import Counter
from datetime import UTC
from typing import get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.api.abandonment.queries import Outcome, StayFilter, list_stays, read_ends
from services.api.asked.queries import Opening, ValueFilter, count_by_opening, kind_table
from services.api.flows.queries import read_kind_paths, read_moves, read_variants
from services.api.funnel.queries import list_customers, read_funnel
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from services.api.visits import queries as visit_queries
from services.api.visits.queries import (
    AT_PHASE,
    BEYOND,
    FRICTION,
    MAX_SPELLINGS,
    VisitDimension,
    VisitQuestion,
    count_visits,
    read_visits,
)
from tests.reference import Customer, naive_model, replay
from tests.reference.asked import ends, facts_of, kind_paths, openings, stays, visits
from tests.reference.walk import in_order
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import open_pipeline
from throughline.analytics.flows import flows
from throughline.journey.flows import MOVES
from throughline.journey.funnel import CYCLE, ENTRY
from throughline.journey.model import UNPLACED, Kind
from throughline.journey.rollup import STEPS
from throughline.journey.state import LAPSE, RETURN
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import to_us
from throughline.models import load_model
from throughline.store.engine.unit_of_work import reading
from throughline.store.schema.analytics import flow_counts
from throughline.store.schema.counts import phase_counts, phase_history

MODEL = load_model("seven_phase")
FIRST_US = START_US - START_US % DAY_US
DAYS = Days(tuple(FIRST_US + day * DAY_US for day in range(2_000)), FIRST_US + 2_000 * DAY_US)
SPAN = (DAYS.from_us, DAYS.end_us)
FACTS = (
    "", '{"campaign":"spring"}', '{"device":{"type":"mobile"}}', '{"campaign":"sale","device":{"type":"tv"}}',
    '{"campaign": "a\\"b", "device": {"os": "x", "type": "t\\u0076"}}',
)  # fmt: skip

law = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def is_own(event: Touchpoint) -> bool:
    kind = MODEL.kind(event.call, event.name)
    return kind is None or kind.by_customer


def with_facts(log: list[Touchpoint]) -> list[Touchpoint]:
    """The log, with something known of where some events came from."""
    return [event._replace(attribution=FACTS[int(event.message_id[1:] or 0) % len(FACTS)]) for event in log]


@law
@given(
    case=cases(),
    phase=st.integers(1, 4),
    channel=st.sampled_from([None, "direct", "email"]),
    spellings=st.sampled_from([0, MAX_SPELLINGS]),
)
async def test_what_is_asked_is_a_naive_scan(
    database: str, engine: AsyncEngine, case: Case, phase: int, channel: str | None, spellings: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    log = with_facts([event for event in case.log if event.message_id.startswith("m")])
    pipeline.send(log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    model = pipeline.models["seven_phase"]
    everybody = replay(log, "seven_phase", pipeline.watermark_us).customers.values()
    customers = [each for each in everybody if channel is None or each.state.channel == channel]
    who = CustomerFilter((), () if channel is None else (channel,))
    async with reading(engine) as connection:
        await check_openings(connection, model, phase, who, customers)
        await check_ends(connection, model, phase, who, customers)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(visit_queries, "MAX_SPELLINGS", spellings)
            await check_visits(connection, model, pipeline.workspace, phase, who, customers, log)
        await check_counts(connection, model, who)
        await check_kind_paths(connection, model, phase, who, customers, log)


@law
@given(case=cases(), days=st.integers(0, 200))
async def test_what_is_asked_still_adds_up_once_facts_are_deleted(
    database: str, engine: AsyncEngine, case: Case, days: int
) -> None:
    pipeline = await open_pipeline(engine, database)
    pipeline.send(with_facts([event for event in case.log if event.message_id.startswith("m")]))
    await pipeline.finish()
    await pipeline.cut(START_US + days * DAY_US)
    model, who = pipeline.models["seven_phase"], CustomerFilter()
    async with reading(engine) as connection:
        cycles = sum(number for _, _, number in await read_variants(connection, model, SPAN, who))
        paths = await read_kind_paths(connection, model, DAYS, who, 4)
        assert sum(path.cycles for path in paths) == cycles
        for phase in range(1, 5):
            sums = (await read_funnel(connection, model, CYCLE, phase, DAYS, who)).get(None, [])
            for by in get_args(Opening):
                sums_by = await count_by_opening(connection, model, phase, DAYS, who, by)
                assert sum(count.entries for counts in sums_by.values() for count in counts) == sum(
                    count.entries for count in sums
                )


async def check_openings(
    connection: AsyncConnection,
    model: int,
    phase: int,
    who: CustomerFilter,
    customers: list[Customer],
) -> None:
    sums = await read_funnel(connection, model, CYCLE, phase, DAYS, who)
    for by in get_args(Opening):
        counts = await count_by_opening(connection, model, phase, DAYS, who, by)
        summed = Counter[tuple[int, ...]]()
        for of_value in counts.values():
            for count in of_value:
                summed[count[:4]] += count.entries
        assert summed == Counter({count[:4]: count.entries for count in sums.get(None, [])})
        expected: Counter[str] = Counter()
        for customer in customers:
            values = openings(customer, by)
            expected.update(values[entry.cycle] for entry, _, _ in stays(customer, phase))
        entered = {
            value: sum(count.entries for count in of_value if count.way == ENTRY) for value, of_value in counts.items()
        }
        assert entered == expected
        for value, number in expected.items():
            for is_other, length in ((False, number), (True, expected.total() - number)):
                valued = ValueFilter(by, (value,), is_other=is_other)
                rows = await list_customers(
                    connection, model, CYCLE, (phase, phase + 1), SPAN, who, "cohort",
                    window_us=None, mature_until_us=DAYS.end_us, after=None, count=1_000, valued=valued,
                )  # fmt: skip
                assert len(rows) == length
                stayed = await list_stays(
                    connection, model, phase, DAYS, who, StayFilter("entered"), valued=valued, after=None, count=1_000
                )
                assert len(stayed) == length


async def check_ends(
    connection: AsyncConnection,
    model: int,
    phase: int,
    who: CustomerFilter,
    customers: list[Customer],
) -> None:
    outcomes = Counter(outcome for customer in customers for _, _, outcome in stays(customer, phase))
    for outcome in get_args(Outcome):
        number = outcomes.total() if outcome == "entered" else outcomes[outcome]
        rows = await list_stays(
            connection, model, phase, DAYS, who, StayFilter(outcome), valued=None, after=None, count=1_000
        )  # fmt: skip
        assert len(rows) == number
        assert {row.outcome for row in rows} <= {outcome} or outcome == "entered"
        for place, row in enumerate(rows[:2]):
            assert rows[place + 1 :] == await list_stays(
                connection, model, phase, DAYS, who, StayFilter(outcome), valued=None, after=row.position, count=1_000
            )
    answer = await read_ends(connection, model, phase, DAYS, who, "UTC")
    counts: Counter[tuple[str, str, str | int]] = Counter()
    for (outcome, kind), number in answer.kinds.items():
        counts["kind", outcome, kind] = number
    for kind, number in answer.last.items():
        counts["last", "", kind] = number
    for day, number in answer.days.items():
        counts["day", "", day] = number
    expected: Counter[tuple[str, str, str | int]] = Counter()
    for customer in customers:
        expected += ends(customer, phase)
    assert counts == expected


async def check_visits(
    connection: AsyncConnection,
    model: int,
    workspace: int,
    phase: int,
    who: CustomerFilter,
    customers: list[Customer],
    log: list[Touchpoint],
) -> None:
    def marks(_word: str, kind: Kind) -> int:
        phases = [rule.phase for rule in kind.rules]
        is_friction = kind.friction == "support"
        return AT_PHASE * (phase in phases) | BEYOND * (min(phases, default=0) > phase) | is_friction << FRICTION

    def has(mark: int, event: Touchpoint) -> bool:
        kind = MODEL.kind(event.call, event.name)
        return kind is not None and bool(marks("", kind) & mark)

    question = VisitQuestion(workspace, model, DAYS, who, kind_table(MODEL, marks), DAYS.end_us)
    groups = await read_visits(connection, question, UTC)
    expected: Counter[tuple[str, str, int, bool]] = Counter()
    in_time: Counter[tuple[str, str, int, bool]] = Counter()
    by: dict[str, Counter[tuple[str, bool]]] = {"channel": Counter(), "device": Counter()}
    for customer in customers:
        for channel, device, week, in_visit, has_advanced, events in visits(
            log, customer, lambda e: has(AT_PHASE, e), lambda e: has(BEYOND, e), is_own
        ):
            hit = any(has(1 << FRICTION, event) for event in events)
            stratum = channel, device, max(to_us(week), DAYS.from_us), hit
            expected[stratum] += 1
            in_time[stratum] += has_advanced
            by["channel"][channel, in_visit] += 1
            by["device"][device, in_visit] += 1
    assert {(*group.stratum, bool(group.frictions)): (group.number, group.advanced) for group in groups} == {
        stratum: (number, in_time[stratum]) for stratum, number in expected.items()
    }
    for dimension in get_args(VisitDimension):
        rows = await count_visits(connection, question, dimension)
        assert sum(row.number for row in rows) == expected.total()
        if dimension in by:
            numbers = {row.value: (row.number, row.advanced) for row in rows}
            values = {value for value, _ in by[dimension]}
            assert numbers == {
                value: (by[dimension][value, True] + by[dimension][value, False], by[dimension][value, True])
                for value in values
            }


async def check_counts(connection: AsyncConnection, model: int, who: CustomerFilter) -> None:
    """Moves are the phase counts: what came into each phase and went out of it, and who stands there."""
    moves = await read_moves(connection, model, MOVES, SPAN, who)
    entered, left, lapsed = Counter[int](), Counter[int](), Counter[int]()
    for move in moves:
        if move.kind == LAPSE:
            lapsed[move.to_phase] += move.number
            continue
        entered[move.to_phase] += move.number
        left[move.from_phase] += move.number
        if move.kind == RETURN:
            lapsed[move.from_phase] -= move.number
    del left[UNPLACED]
    c = phase_counts.c
    sums = (func.sum(c[name]) for name in ("entered", "left", "lapsed"))
    rows = await connection.execute(
        select(c.phase, *sums).where(c.model == model, c.phase > 0, *who.conditions(phase_counts)).group_by(c.phase)
    )
    counted = {row[0]: tuple(map(int, row[1:])) for row in rows if any(row[1:])}
    assert counted == {phase: (entered[phase], left[phase], lapsed[phase]) for phase in sorted(entered)}
    # Day by day they are the history of the counts.
    f, h = flow_counts.c, phase_history.c
    for phase_of, number in ((f.to_phase, h.entered), (f.from_phase, h.left)):
        of_flows = select(f.day_us, phase_of, func.sum(f.number)).where(
            f.model == model, f.reading == MOVES, f.kind != LAPSE, phase_of > UNPLACED, *who.conditions(flow_counts)
        )
        of_history = select(h.bucket_us, h.phase, func.sum(number)).where(
            h.model == model, h.step == STEPS.index("day"), h.phase > UNPLACED, *who.conditions(phase_history)
        )
        by_day = [
            {(day_us, phase): int(number) for day_us, phase, number in await connection.execute(query) if number}
            for query in (of_flows.group_by(f.day_us, phase_of), of_history.group_by(h.bucket_us, h.phase))
        ]
        assert by_day[0] == by_day[1]
    closing: Counter[int] = Counter()
    for node in flows(moves).nodes:
        assert node.opening + node.into == node.closing + node.out
        closing[node.place.phase] += node.closing
    assert all(closing[phase] == entered[phase] - left[phase] for phase in entered)


async def check_kind_paths(
    connection: AsyncConnection,
    model: int,
    goal: int,
    who: CustomerFilter,
    customers: list[Customer],
    log: list[Touchpoint],
) -> None:
    expected: Counter[tuple[str, ...]] = Counter()
    reached: Counter[tuple[str, ...]] = Counter()
    lapsed: Counter[tuple[str, ...]] = Counter()
    for customer in customers:
        events = in_order(facts_of(log, customer))
        for (path, is_reached, has_lapsed), number in kind_paths(
            naive_model(MODEL.name), events, customer, goal
        ).items():
            kinds = tuple(path.split(",")) if path else ()
            expected[kinds] += number
            reached[kinds] += number * is_reached
            lapsed[kinds] += number * has_lapsed
    paths = await read_kind_paths(connection, model, DAYS, who, goal)
    assert {path.kinds: (path.cycles, path.reached, path.lapsed) for path in paths} == {
        kinds: (number, reached[kinds], lapsed[kinds]) for kinds, number in expected.items()
    }
