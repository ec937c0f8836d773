"""The law of voices, on real PostgreSQL: what customers say is a naive look at each of their facts."""

import json
from collections import Counter
from typing import get_args

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from services.api.voice.queries import (
    Dimension,
    OpinionQuestion,
    ReachQuestion,
    list_opinions,
    list_reached,
    read_opinions,
    read_reach,
)
from tests.reference import Customer, replay
from tests.reference.asked import facts_of
from tests.reference.voice import by_part, counted, part_of, phase_before
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import open_pipeline
from throughline.analytics.opinions import MEASURES, Measure, opinions, scale_of
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model
from throughline.store.engine.unit_of_work import reading

MODEL = load_model("seven_phase")
FIRST_US = START_US - START_US % DAY_US
DAYS = Days(tuple(FIRST_US + day * DAY_US for day in range(2_000)), FIRST_US + 2_000 * DAY_US)

VOICES: tuple[tuple[str, dict[str, object], dict[str, object]], ...] = (
    ("survey_answered", {"score": 9.0}, {}),
    ("NPS Answered", {"score": 6.5}, {"survey_id": "autumn"}),
    ("NPS Answered", {"score": 11.0}, {"survey": "autumn"}),
    ("survey_answered", {"score": 4.0}, {"type": "CSAT"}),
    ("csat_answered", {}, {"csat": 4, "scale": 5}),
    ("csat", {"rating": 3.0}, {"csat": "good", "scale": "7"}),
    ("survey_answered", {"score": 2.0}, {"csat_score": "5"}),
    ("csat_answered", {}, {"csat": 9, "scale": 5}),
    ("ces_answered", {"score": 7.0}, {}),
    ("survey_answered", {}, {"ces": 5.4, "measure": 3}),
    ("survey_sent", {}, {}),
    ("survey_shown", {}, {"survey_type": "ces"}),
    ("csat_sent", {"score": 3.0}, {}),
    ("Product Reviewed", {"rating": 4.4, "product_id": "p1"}, {"sentiment": "Negative"}),
    ("Product Reviewed", {"rating": 9.0, "product_id": "p1"}, {"scale": 10, "sentiment": -0.02}),
    ("Product Reviewed", {"rating": 2.0}, {"sentiment": 0.4}),
    ("Product Reviewed", {"rating": 7.0, "product_id": "p2"}, {"sentiment": 2}),
    ("Product Reviewed", {}, {"scale": "1e999"}),
    ("survey_answered", {"score": 10.0}, {"note": "\0"}),
    ("Social Mention", {}, {"reach": 1200, "sentiment": "positive"}),
    ("invite_sent", {}, {}),
    ("like", {}, {"reach": "NaN"}),
    ("support_chat", {}, {"sentiment": ["?"]}),
)
SPOKEN = {"share": "shares", "review": "reviews", "ad_shown": "ads", "message_delivered": "messages"}
TOLD = {"Social Mention": "mentions", "invite_sent": "invites", "like": "likes"}


def with_voices(log: list[Touchpoint]) -> list[Touchpoint]:
    """The log, with something said in half of it."""
    result: list[Touchpoint] = []
    for event in log:
        number = int(event.message_id[1:]) * 7 + len(event.actor)
        name, fields, properties = VOICES[number // 2 % len(VOICES)]
        if event.call == "track" and number % 2:
            rest = json.dumps({"properties": properties})
            event = event._replace(name=name, order_id="", rest=rest, score=None, rating=None, product_id="")
            event = event._replace(**fields)  # type: ignore[arg-type]
        result.append(event)
    return result


@settings(
    max_examples=12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(case=cases(), channel=st.sampled_from([None, "direct"]), each=st.booleans())
async def test_what_customers_say_is_a_naive_look_at_their_facts(
    database: str, engine: AsyncEngine, case: Case, channel: str | None, each: bool
) -> None:
    pipeline = await open_pipeline(engine, database)
    log = with_voices([event for event in case.log if event.message_id.startswith("m")])
    pipeline.send(log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    everybody = replay(log, "seven_phase", pipeline.watermark_us).customers.values()
    customers = [customer for customer in everybody if channel is None or customer.state.channel == channel]
    who = CustomerFilter((), () if channel is None else (channel,))
    async with reading(engine) as connection:
        for measure in MEASURES:
            question = OpinionQuestion(
                pipeline.workspace, pipeline.models["seven_phase"], MODEL, measure, DAYS, who, each
            )
            await check(connection, question, measure, log, customers)
        for by in (None, *get_args(Dimension)):
            asked = ReachQuestion(pipeline.workspace, pipeline.models["seven_phase"], MODEL, DAYS, who, by)
            await check_reach(connection, asked, log, customers)


async def check_reach(
    connection: AsyncConnection, question: ReachQuestion, log: list[Touchpoint], customers: list[Customer]
) -> None:
    reach: dict[tuple[str, str], Counter[int]] = {}
    for place, customer in enumerate(customers):
        shown = [(event, MODEL.kind(event.call, event.name)) for event in facts_of(log, customer)]
        first = {e.message_id: (e, kind.name) for e, kind in reversed(shown) if kind and kind.name in SPOKEN}
        for event, kind_name in first.values():
            value = part_of(event, phase_before(event, customer), question.by)
            reach.setdefault((TOLD.get(event.name, SPOKEN[kind_name]), value), Counter())[place] += 1
    rows = await read_reach(connection, question)
    assert {(row.what, row.value) for row in rows if row.events} == reach.keys()
    for row in rows:
        of_row = reach.get((row.what, row.value), Counter())
        numbers = list(of_row.values())
        assert (row.events, row.customers, sum(row.frequency)) == (sum(numbers), len(numbers), len(numbers))
        assert row.frequency[:3] == tuple(numbers.count(times) for times in (1, 2, 3))
        if row.what == "mentions":
            assert row.audience == 1200 * row.events
    for what, value in [*reach][:2]:
        listed = await list_reached(connection, question, what, value, after=None, count=1_000)  # type: ignore[arg-type]
        assert sorted(each.events for each in listed) == sorted(reach[what, value].values())


async def check(
    connection: AsyncConnection,
    question: OpinionQuestion,
    measure: Measure,
    log: list[Touchpoint],
    customers: list[Customer],
) -> None:
    expected = counted(log, customers, measure, each=question.is_each)
    for by in (None, *get_args(Dimension)):
        parts = await read_opinions(connection, question, by)
        of_part = by_part(expected, by)
        assert {part.value for part in parts} == set(of_part)
        for part in parts:
            items = of_part[part.value]
            requests = sum(number for key, number in items.items() if not key[0])
            assert (part.requests, part.answered) == (requests, items.total() - requests)
            assert Counter({(bucket.scale, bucket.value): bucket.answers for bucket in part.buckets}) == sum(
                (Counter({key[2:]: number}) for key, number in items.items() if key[0] and not key[1]), Counter()
            )
    buckets = [bucket for part in await read_opinions(connection, question, "channel") for bucket in part.buckets]
    whole = opinions(measure, buckets, scale_of(measure, buckets))
    rows = await list_opinions(connection, question, None, None, (None, None), after=None, count=1_000)
    assert len(rows) == whole.answers
    for place, row in enumerate(rows[:2]):
        assert rows[place + 1 :] == await list_opinions(
            connection, question, None, None, (None, None), after=row.position, count=1_000
        )
    if measure in ("nps", "rating", "sentiment"):
        least = {"nps": 9, "rating": 4, "sentiment": 1}[measure]
        favourable = await list_opinions(connection, question, None, None, (least, None), after=None, count=1_000)
        assert len(favourable) == whole.favourable
