"""The law of messages and referrals, on real PostgreSQL: they are a naive look at each customer's facts."""

import json
from collections import Counter

from hypothesis import HealthCheck, given, settings
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.api.attribution.queries import PathQuestion, read_path_rows, touch_table
from services.api.messages.queries import NUMBERS, STAGES, MessageQuestion, MessageRow, list_recipients, read_messages
from services.api.referrals.queries import read_arrivals, read_claims, read_everybody, read_network, read_people
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from tests.reference import replay
from tests.reference.messages import Row, codes_of, messages_of
from tests.reference.replay import Replayed
from tests.reference.walk import LAPSE
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.pipeline import Pipeline, open_pipeline
from throughline.analytics.referrals import bins_of
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model
from throughline.store.digest import id_digest
from throughline.store.engine.unit_of_work import reading

MODEL = load_model("seven_phase")
FIRST_US = START_US - START_US % DAY_US
DAYS = Days(tuple(FIRST_US + day * DAY_US for day in range(2_000)), FIRST_US + 2_000 * DAY_US)
EVERYBODY = CustomerFilter()
PURCHASE = MODEL.phase_named("purchase").number

SPRING = '{"campaign":"spring"}'
SAID: tuple[tuple[str, str, dict[str, object]], ...] = (
    ("email_sent", SPRING, {}),
    ("Email Delivered", "", {"campaign_name": "autumn"}),
    ("Email Opened", SPRING, {"campaign_name": "autumn"}),
    ("Email Link Clicked", "", {"campaign_name": "spring"}),
    ("Email Link Clicked", SPRING, {}),
    ("push_notification_tapped", "", {"campaign_id": "late"}),
    ("Email Link Clicked", "", {"note": "\0"}),
    ("email_bounced", SPRING, {}),
    ("unsubscribed", "", {"campaign_name": ""}),
    ("email_marked_as_spam", SPRING, {}),
    ("invite_sent", '{"referral_code":"A"}', {"referral_code": "A"}),
    ("Product Shared", '{"referral_code":"B"}', {"referralCode": "B"}),
    ("Product Shared", '{"referral_code":"A"}', {"referral_code": "A"}),
    ("product_view", '{"referral_code":"A"}', {}),
    ("product_view", '{"referral_code":"B"}', {"referral_code": "B"}),
    ("page_view", '{"campaign":"spring","referral_code":"nobody"}', {}),
    # A share whose address names the code by which the customer itself came.
    ("Product Shared", '{"referral_code":"B"}', {}),
)


def with_messages(log: list[Touchpoint]) -> list[Touchpoint]:
    """The log, with messages and codes in half of it."""
    result: list[Touchpoint] = []
    for event in log:
        number = int(event.message_id[1:]) * 7 + len(event.actor)
        if event.call == "track" and number % 2:
            name, attribution, properties = SAID[number // 2 % len(SAID)]
            rest = json.dumps({"properties": properties})
            event = event._replace(name=name, order_id="", rest=rest, attribution=attribution, product_id="")
        result.append(event)
    return result


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(case=cases())
async def test_messages_and_codes_are_a_naive_look_at_the_facts(
    database: str, engine: AsyncEngine, case: Case
) -> None:  # fmt: skip
    pipeline = await open_pipeline(engine, database)
    log = with_messages([event for event in case.log if event.message_id.startswith("m")])
    pipeline.send(log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    if case.repeated % 3 == 0:
        pipeline.models["seven_phase"] = await pipeline.begin("seven_phase")
        await pipeline.restage_all()
    replayed = replay(log, "seven_phase", pipeline.watermark_us)
    async with reading(engine) as connection:
        await check_messages(connection, pipeline, log, replayed)
        await check_codes(connection, pipeline, log, replayed)


async def check_messages(
    connection: AsyncConnection, pipeline: Pipeline, log: list[Touchpoint], replayed: Replayed
) -> None:
    generation = pipeline.models["seven_phase"]
    question = MessageQuestion(pipeline.workspace, generation, MODEL, DAYS, EVERYBODY, pipeline.watermark_us)
    numbers, cycles = messages_of(log, replayed, pipeline.watermark_us)
    rows = {row.value: row for row in await read_messages(connection, question, "campaign")}
    assert rows.keys() == numbers.keys()
    for value, row in rows.items():
        check_row(row, numbers[value], cycles[value])
    for value in [*rows][:2]:
        for number in NUMBERS:
            listed = await list_recipients(connection, question, number, "campaign", value, after=None, count=1_000)
            assert {each.id: each.events for each in listed} == dict(numbers[value][number])
            if number in STAGES:
                assert {each.id: each.cycles for each in listed} == dict(cycles[value][number])
            for place, each in enumerate(listed[:1], 1):
                assert listed[place:] == await list_recipients(
                    connection, question, number, "campaign", value, after=each.position, count=1_000
                )


def check_row(row: MessageRow, numbers: Row, cycles: Row) -> None:
    for stage, count in row.stages.items():
        of_stage = numbers[stage]
        assert count == (of_stage.total(), len(of_stage), cycles[stage].total()), stage
    for after, window in zip(row.after, ("24h", "7d"), strict=True):
        assert after == (len(numbers[f"clicked_{window}"]), len(numbers[f"advanced_{window}"]))
    assert sum(sums.orders for sums in row.money) == numbers["orders"].total()


async def check_codes(
    connection: AsyncConnection, pipeline: Pipeline, log: list[Touchpoint], replayed: Replayed
) -> None:
    workspace, generation = pipeline.workspace, pipeline.models["seven_phase"]
    digests = {id_digest(workspace, name): name for name in replayed.customers}
    expected = codes_of(log, replayed)
    claims = await read_claims(connection, workspace, MODEL)
    assert claims is not None
    assert {code: digests[owner] for code, owner in claims.owners.items()} == expected.owners
    assert claims.since_us == expected.since_us
    assert {each.code: (each.at_us, digests[each.customer]) for each in claims.contested} == expected.contested
    assert all(each.advocate == claims.owners[each.code] for each in claims.contested)
    arrivals = await read_arrivals(connection, workspace, generation, MODEL, EVERYBODY)
    assert arrivals is not None
    assert {digests[each.customer]: (each.at_us, each.code) for each in arrivals} == expected.arrivals
    people = await read_people(connection, generation, digests, PURCHASE)
    for digest, name in digests.items():
        customer, person = replayed.customers[name], people[digest]
        reached = [step.at_us for step in customer.transitions if step.kind != LAPSE and step.target >= PURCHASE]
        ordered = [at_us for (owner, _), (at_us, *_) in replayed.conversions.items() if owner == name]
        assert (person.reached_us, person.ordered_us) == (min(reached, default=None), min(ordered, default=None))
        assert person.orders == len(ordered)
        assert (person.highest_phase >= PURCHASE) == bool(reached)
    now_us = pipeline.watermark_us
    everybody = await read_everybody(connection, workspace, generation, MODEL, DAYS, EVERYBODY, PURCHASE, now_us)
    spells = [
        (replayed.customers[name].state.first_us, people[digest].reached_us) for digest, name in digests.items()
    ]  # fmt: skip
    assert everybody.spells == bins_of(spells, now_us)
    states = Counter(customer.state.highest >= PURCHASE for customer in replayed.customers.values())
    assert (everybody.first_seen, everybody.reached, everybody.seen) == (states.total(), states[True], states.total())


async def test_an_order_of_a_till_that_is_imported_late_is_where_it_belongs(
    database: str, engine: AsyncEngine
) -> None:  # fmt: skip
    def sent(actor: str, day: int, name: str, attribution: str = "", **fields: object) -> Touchpoint:
        channel = "email" if "email" in attribution else "direct"
        event = Touchpoint(
            START_US + day * DAY_US, 0, f"m{day}{actor}", actor, "track", name, channel=channel, received_us=START_US,
            anonymous_id=actor, attribution=attribution,
        )  # fmt: skip
        return event._replace(**fields)  # type: ignore[arg-type]

    share = json.dumps({"properties": {"referral_code": "A"}})
    web = [
        sent("ann", 0, "invite_sent", '{"referral_code":"A"}', rest=share),
        sent("visitor", 1, "product_view", '{"referral_code":"A"}'),
        sent("visitor", 2, "Email Link Clicked", '{"campaign":"spring","medium":"email"}'),
        sent("card", 10, "product_view", user_id="card", anonymous_id="visitor"),
    ]
    till = sent("card", 3, "pos_sale", user_id="card", anonymous_id="", order_id="o1", value=5.0, currency="EUR")
    answers = []
    for log in (sorted([*web, till]), [*web, till], [till, *web]):
        pipeline = await open_pipeline(engine, database)
        pipeline.send(log)
        await pipeline.finish()
        await pipeline.tick(START_US + 20 * DAY_US)
        generation, workspace = pipeline.models["seven_phase"], pipeline.workspace
        names = {id_digest(workspace, name): name for name in ("ann", "card")}
        paths = PathQuestion(
            workspace, generation, DAYS, EVERYBODY, touch_table(MODEL), "channel", 30 * DAY_US, "customer", False
        )  # fmt: skip
        messages = MessageQuestion(workspace, generation, MODEL, DAYS, EVERYBODY, pipeline.watermark_us)
        async with reading(engine) as connection:
            network = await read_network(connection, workspace, generation, MODEL, EVERYBODY)
            assert network is not None
            (referral,) = network[0].referrals
            answers.append(
                (
                    await read_path_rows(connection, paths, has_nulls=False, has_ages=True),
                    await read_messages(connection, messages, "campaign"),
                    (names[referral.advocate], names[referral.customer], referral.at_us),
                    (await pipeline.projection(generation)).conversions,
                )
            )
    first, *others = answers
    assert others == [first, first]
    (path,), (spring,), brought, _ = first
    assert (path.values, path.number, path.gross) == (("direct", "email", "direct"), 1, 500)
    assert (brought[:2], sum(sums.orders for sums in spring.money)) == (("ann", "card"), 1)
