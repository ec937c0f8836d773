"""What messages do and who brought whom, out of rows that were staged, by figures worked out by hand."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.attribution.answers import AttributedOrders, OrderPaths
from services.api.messages.answers import Messages, Recipients
from services.api.referrals.answers import CustomerReferrals, ReferralList, Referrals
from services.api.voice.answers import OpinionList, Reach, ReachedList, Voice
from services.stager.stage.models import ModelRegistry
from tests.support.answers import ok
from tests.support.pipeline import PARTITIONS, Pipeline
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.journey.durations import DAY_US, HOUR_US
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import rfc3339
from throughline.store.digest import id_digest
from throughline.wire.claims import ERASE, Claim

START_US = 1_790_000_000_000_000 - 1_790_000_000_000_000 % DAY_US
SPAN = {"from": rfc3339(START_US), "to": rfc3339(START_US + 30 * DAY_US)}
SPRING = {"campaign": "spring"}
HOSTILE = '{"properties":{"campaign_name":"\\u0000","score":9}}'


def sent(who: str, hour: int, name: str, properties: dict[str, Any] | None = None, **fields: Any) -> Touchpoint:
    """An event of a customer, so many hours after the start."""
    at_us = START_US + hour * HOUR_US
    attribution = fields.pop("attribution", {})
    code = (properties or {}).get("referral_code") or (properties or {}).get("code")
    if code:
        attribution = {**attribution, "referral_code": code}
    return Touchpoint(
        at_us, 0, f"{who}-{hour}-{name}", who, "track", name, received_us=at_us, user_id=who, channel="direct",
        rest=fields.pop("rest", json.dumps({"properties": properties or {}})),
        attribution=json.dumps(attribution, separators=(",", ":")) if attribution else "", **fields,
    )  # fmt: skip


def events() -> list[Touchpoint]:
    """Ann clicks, looks and buys; Ben clicks only; Cem clicks too late for anybody to know; Dee bounces."""
    log = [sent(who, 1, "email_sent", attribution=SPRING) for who in ("ann", "ben", "cem", "dee")]
    log += [sent(who, 2, "email_delivered", attribution=SPRING) for who in ("ann", "ben", "cem")]
    log.append(sent("dee", 2, "email_bounced", attribution=SPRING))
    log += [sent("ann", hour, "email_opened", attribution=SPRING) for hour in (3, 4)]
    log += [
        sent("ann", 5, "email_link_clicked", attribution=SPRING),
        sent("ann", 10, "add_to_cart"),
        sent("ann", 40, "Order Completed", order_id="o1", value=50.0, total=50.0, currency="EUR"),
        sent("ann", 24 * 20, "Order Completed", order_id="o2", value=70.0, total=70.0, currency="EUR"),
        sent("ben", 6, "email_link_clicked", {"campaign_name": "spring"}),
        sent("cem", 24 * 25, "push_notification_tapped", {"campaign_name": "late"}),
        sent("ben", 7, "unsubscribed", rest=HOSTILE),
    ]
    # Ann invites; Eve buys by her code, Fay and Gus only come; Gus's own code brings Ann, which makes a ring.
    log += [
        sent("ann", 50, "invite_sent", {"code": "ANN10"}),
        sent("eve", 60, "page_view", {"referral_code": "ANN10"}),
        sent("eve", 61, "Order Completed", order_id="o3", value=20.0, total=20.0, currency="EUR"),
        sent("fay", 62, "product_view", {"referral_code": "ANN10"}),
        sent("gus", 63, "product_view", {"referral_code": "ANN10"}),
        sent("gus", 64, "Product Shared", {"referral_code": "GUS"}),
        sent("ben", 70, "Product Shared", {"referral_code": "ANN10"}),  # claimed before
        sent("hal", 71, "page_view", {"referral_code": "NOBODY"}),
        sent("lea", 71, "page_view", {"referral_code": "ben"}),  # an id, as `referred_by` may name one
        sent("gus", 72, "page_view", {"referral_code": "GUS"}),  # not the first code it came with
        sent("fay", 73, "Product Shared", {"referral_code": "FAY"}),
        sent("ivy", 74, "", rest='{"traits":{"referral_code":"IVY"}}', attribution={"referral_code": "IVY"})._replace(
            call="identify"
        ),
        sent("ivy", 75, "page_view", {"referral_code": "IVY"}),
        sent("jon", 76, "Product Shared", {"referral_code": "JON"}),
        sent("kim", 77, "page_view", {"referral_code": "JON"}),
        sent("kim", 78, "Product Shared", {"referral_code": "KIM"}),
        sent("jon", 79, "page_view", {"referral_code": "KIM"}),  # a ring
    ]
    log += [
        sent("ann", 80, "nps_answered", score=10.0),
        sent("ben", 80, "survey_answered", score=3.0),
        sent("ben", 81, "nps_answered", score=9.0),
        sent("eve", 80, "Product Reviewed", rating=5.0, product_id="p1"),
        sent("fay", 80, "survey_shown"),
    ]
    return log


@pytest.fixture
async def pipeline(stack: Stack, rows: Rows, engine: AsyncEngine) -> Pipeline:
    """The events, staged."""
    models = {"seven_phase": rows.model}
    pipeline = Pipeline(engine, stack.database, stack.workspace_id, models, stack.touchpoints, ModelRegistry(engine))
    pipeline.send([event._replace(source=rows.source) for event in events()])
    end_us = START_US + 26 * DAY_US
    for partition in range(PARTITIONS):
        while pipeline.waiting[partition]:
            await pipeline.stage(partition, 500)
        await rows.through(end_us, partition=partition)
    await pipeline.tick(end_us)
    return pipeline


@pytest.fixture
async def shop(stack: Stack, service: Service, pipeline: Pipeline) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the api."""
    async with stack.api(service) as client:
        yield client


async def test_the_figures(shop: httpx.AsyncClient) -> None:
    await check_messages(shop)
    await check_referrals(shop)
    await check_voices(shop)
    await check_events_as_goals(shop)


async def test_an_erased_person_counts_no_more(shop: httpx.AsyncClient, pipeline: Pipeline) -> None:
    """Ann's messages, answers and invites go with her; her code is Ben's, who shared it next."""
    digest = id_digest(pipeline.workspace, "ann")
    await pipeline.claim([Claim(ERASE, pipeline.workspace, "e1", START_US, (digest,), is_whole=True)])
    await pipeline.erase_all()
    await pipeline.tick(pipeline.watermark_us)
    messages = await ok(shop, "/v1/messages", Messages, **SPAN)
    spring = next(item for item in messages["items"] if item["value"] == "spring")
    assert [spring[stage]["events"] for stage in ("sent", "opened", "clicked")] == [3, 0, 1]
    assert spring["orders"] == []
    listed = (await ok(shop, spring["links"]["sent"], Recipients))["items"]
    assert {item["customer"] for item in listed} == {"ben", "cem", "dee"}
    voice = await ok(shop, "/v1/voice", Voice, **SPAN)
    assert (voice["total"]["answers"], voice["total"]["distribution"]) == (1, {"9": 1})
    assert await reached(shop) == {"messages": 2, "shares": 5, "reviews": 1}
    referrals = await ok(shop, "/v1/referrals", Referrals, **SPAN)
    assert [(row["customer"], row["referred"]) for row in referrals["advocates"]] == [("ben", 4), ("jon", 1)]
    assert (referrals["unclaimed"], referrals["contested_codes"]) == (1, 0)


async def test_deleted_facts_count_no_more(shop: httpx.AsyncClient, pipeline: Pipeline) -> None:
    """What was before the retention cutoff is gone from these figures, which read facts; orders stay."""
    await pipeline.cut(START_US + 3 * DAY_US)
    messages = await ok(shop, "/v1/messages", Messages, **SPAN)
    numbers = [(item["value"], item["sent"]["events"], item["clicked"]["events"]) for item in messages["items"]]
    assert numbers == [("late", 0, 1)]
    voice = await ok(shop, "/v1/voice", Voice, **SPAN)
    assert (voice["total"]["answers"], voice["total"]["distribution"]) == (2, {"9": 1, "10": 1})
    assert await reached(shop) == {"shares": 3, "reviews": 1}
    referrals = await ok(shop, "/v1/referrals", Referrals, **SPAN)
    assert [(row["customer"], row["referred"]) for row in referrals["advocates"]] == [("jon", 1)]
    figures = {name: referrals[name] for name in ("unclaimed", "self_referred", "rings", "contested_codes")}
    assert figures == {"unclaimed": 1, "self_referred": 1, "rings": 1, "contested_codes": 0}
    assert (await ok(shop, "/v1/attribution", AttributedOrders, **SPAN))["orders"] == 3


async def reached(shop: httpx.AsyncClient) -> dict[str, int]:
    """What reached customers or was passed on -> its events, if there were any."""
    reach = await ok(shop, "/v1/voice/reach", Reach, **SPAN)
    return {item["what"]: item["events"] for item in reach["items"] if item["events"]}


async def test_journeys_of_before_conversions_say_that_a_restage_is_needed(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.execute("UPDATE models SET has_conversions = false WHERE id = $1", rows.model)
    for path in ("/v1/messages", "/v1/referrals", "/v1/customers/ann/referrals", "/v1/attribution/paths"):
        answer = await api.get(path)
        assert (answer.status_code, answer.json()["code"]) == (409, "restage_needed")


async def check_messages(shop: httpx.AsyncClient) -> None:
    answer = await ok(shop, "/v1/messages", Messages, **SPAN)
    by_value = {item["value"]: item for item in answer["items"]}
    assert list(by_value) == ["spring", "(none)", "late"]
    spring = by_value["spring"]
    counts = {stage: (spring[stage]["events"], spring[stage]["customers"]) for stage in ("sent", "opened", "clicked")}
    assert counts == {"sent": (4, 4), "opened": (2, 1), "clicked": (2, 2)}
    assert (spring["bounced"]["events"], spring["opened"]["inflated"]) == (1, True)
    assert spring["advanced_24h"] | {"rate": None} == {"clicked": 2, "advanced": 1, "rate": None}
    assert spring["orders"] == [{"currency": "EUR", "digits": 2, "orders": 1, "gross": 5000, "net": 5000}]
    assert by_value["(none)"]["unsubscribed"]["customers"] == 1
    late = by_value["late"]
    assert (late["clicked"]["customers"], late["advanced_24h"]["clicked"], late["advanced_7d"]["clicked"]) == (1, 0, 0)
    for item in answer["items"]:
        await check_recipients(shop, item)
    everybody = await ok(shop, "/v1/messages/customers", Recipients, number="clicked", limit="2", **SPAN)
    rest = await ok(
        shop, "/v1/messages/customers", Recipients, number="clicked", cursor=everybody["next_cursor"], **SPAN
    )
    assert {item["customer"] for item in everybody["items"] + rest["items"]} == {"ann", "ben", "cem"}
    by_channel = await ok(shop, "/v1/messages", Messages, by="channel", **SPAN)
    assert {item["value"] for item in by_channel["items"]} == {"email", "push", "direct"}


async def check_recipients(shop: httpx.AsyncClient, item: dict[str, Any]) -> None:
    """Every list is as long as its number."""
    for number, link in item["links"].items():
        listed = (await ok(shop, link, Recipients))["items"]
        if number == "orders":
            assert sum(each["events"] for each in listed) == sum(each["orders"] for each in item["orders"])
        elif number in item:
            of_stage = item[number]
            of_list = (sum(each["events"] for each in listed), len(listed), sum(each["cycles"] for each in listed))
            if "events" in of_stage:
                assert of_list == (of_stage["events"], of_stage["customers"], of_stage["cycles"])
            else:
                assert len(listed) == of_stage["advanced"]
        else:
            assert len(listed) == item[number.replace("clicked", "advanced")]["clicked"]


async def check_referrals(shop: httpx.AsyncClient) -> None:
    answer = await ok(shop, "/v1/referrals", Referrals, **SPAN)
    figures = {name: answer[name] for name in ("referred", "unclaimed", "self_referred", "rings", "contested_codes")}
    assert figures == {"referred": 5, "unclaimed": 1, "self_referred": 1, "rings": 1, "contested_codes": 1}
    assert [(row["customer"], row["referred"], row["reached"], row["orders"]) for row in answer["advocates"]] == [
        ("ann", 3, 1, 1),
        ("ben", 1, 0, 0),
        ("jon", 1, 0, 0),
    ]
    assert answer["orders"] == [{"currency": "EUR", "digits": 2, "orders": 1, "gross": 2000, "net": 2000}]
    assert answer["reached_rate"]["rate"] == 0.2
    assert not answer["shown"]
    spread = answer["spread"]
    assert (spread["customers"], spread["invites"], spread["reached"]) == (12, 1, 1)
    assert spread["low"] <= spread["k"] == 1 / 12 <= spread["high"]
    # Each list is as long as its number.
    lengths = {
        number: len((await ok(shop, link, ReferralList))["items"])
        for number, link in answer["links"].items()
        if number != "invites"
    }
    assert lengths == {
        "referred": 5, "advocates": answer["advocate_count"], "reached": spread["reached"], "ordered": 1,
        "first_seen": answer["first_seen"], "unclaimed": 1, "self_referred": 1, "rings": 1,
        "contested_codes": 1,
        **{f"phases.{phase}": number for phase, number in answer["phases"].items()},
    }  # fmt: skip
    assert len((await ok(shop, answer["links"]["invites"], ReachedList))["items"]) == 1
    (contested,) = (await ok(shop, answer["links"]["contested_codes"], ReferralList))["items"]
    assert (contested["code"], contested["customer"], contested["advocate"]) == ("ANN10", "ben", "ann")
    ordered = (await ok(shop, answer["links"]["ordered"], ReferralList))["items"]
    assert [(row["customer"], row["advocate"], row["orders"]) for row in ordered] == [("eve", "ann", 1)]
    assert (spread["window"], spread["immature"]) == ("30d", 4)
    followed = answer["followed"]
    assert (followed["within_seconds"], followed["shown"]) == (21 * 24 * 3600, False)
    # All of them are seen as long: these are the plain shares.
    assert followed["referred"]["rate"] == pytest.approx(answer["reached_rate"]["rate"]) == 1 / 5
    assert followed["others"]["rate"] == pytest.approx(answer["others_rate"]["rate"]) == 2 / 7
    assert followed["difference"]["low"] < followed["difference"]["rate"] < followed["difference"]["high"]
    # Eve alone has ordered, of five who came: not a quarter.
    assert answer["cycle_time"] == {"p25": None, "p50": None, "p75": None}
    page = await ok(shop, "/v1/referrals/customers", ReferralList, limit="3", **SPAN)
    rest = await ok(shop, "/v1/referrals/customers", ReferralList, cursor=page["next_cursor"], **SPAN)
    assert [row["customer"] for row in page["items"] + rest["items"]] == ["eve", "fay", "gus", "lea", "kim"]
    quick = await ok(shop, "/v1/referrals", Referrals, window="1h", **SPAN)
    assert (quick["spread"]["reached"], quick["spread"]["immature"]) == (1, 0)
    for row in answer["advocates"]:
        of_row = {name: (await ok(shop, link, ReferralList))["items"] for name, link in row["links"].items()}
        assert (len(of_row["referred"]), len(of_row["reached"])) == (row["referred"], row["reached"])
        assert sum(each["orders"] for each in of_row["ordered"]) == row["orders"]
    ann = await ok(shop, answer["advocates"][0]["link"], CustomerReferrals)
    assert (ann["codes"], ann["referred_by"], ann["total"]) == (["ANN10"], None, 3)
    assert [(row["customer"], row["phase"]) for row in ann["referred"]] == [
        ("eve", "advocacy"),
        ("fay", "consideration"),
        ("gus", "consideration"),
    ]
    eve = await ok(shop, "/v1/customers/eve/referrals", CustomerReferrals)
    assert eve["referred_by"]["customer"] == "ann"
    unknown = await shop.get("/v1/customers/zoe/referrals")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "unknown_customer")


async def check_events_as_goals(shop: httpx.AsyncClient) -> None:
    """Ann puts something into her cart five hours after she came by a message."""
    answer = await ok(shop, "/v1/attribution", AttributedOrders, goal="kind:cart_added", **SPAN)
    assert (answer["orders"], answer["adds_up"], answer["totals"][0]["gross"]) == (1, True, 0)
    assert [(row["value"], row["conversions"]) for row in answer["rows"]] == [("email", 1)]
    (added,) = (await ok(shop, answer["rows"][0]["links"]["orders"], OrderPaths))["items"]
    assert (added["customer"], added["order"], added["at"]) == ("ann", None, rfc3339(START_US + 10 * HOUR_US))


async def check_voices(shop: httpx.AsyncClient) -> None:
    answer = await ok(shop, "/v1/voice", Voice, by="phase", **SPAN)
    total = answer["total"]
    assert (total["answers"], total["answered"], total["requests"], total["enough"]) == (2, 3, 1, False)
    assert (total["favourable"], total["nps"]["value"], total["distribution"]) == (2, 100, {"9": 1, "10": 1})
    assert sum(part["count"]["answers"] for part in answer["breakdown"]) == 2
    listed = await ok(shop, total["links"]["favourable"], OpinionList)
    assert [item["customer"] for item in listed["items"]] == ["ann", "ben"]
    every = await ok(shop, "/v1/voice", Voice, each="true", **SPAN)
    assert every["total"]["unfavourable"] == 1
    stars = await ok(shop, "/v1/voice", Voice, measure="rating", by="product", **SPAN)
    assert [(part["value"], part["count"]["answers"]) for part in stars["breakdown"]] == [("p1", 1)]
    reach = await ok(shop, "/v1/voice/reach", Reach, **SPAN)
    assert await reached(shop) == {"messages": 3, "shares": 5, "invites": 1, "reviews": 1}
    by_phase = await ok(shop, "/v1/voice/reach", Reach, by="phase", **SPAN)
    for item in reach["items"] + by_phase["items"]:
        listed = (await ok(shop, item["links"]["customers"], ReachedList))["items"]
        assert (len(listed), sum(each["events"] for each in listed)) == (item["customers"], item["events"])
    shares = {item["value"]: item["events"] for item in by_phase["items"] if item["what"] == "shares"}
    assert shares == {"unplaced": 1, "discovery": 1, "consideration": 3}
    # Eve reviews within the month after the first of three orders; the month of none has passed.
    assert stars["of_orders"] | {"rate": None} == {
        "reviews": 1, "orders": 3, "per_order": 1 / 3, "buyers": 0, "reviewers": 0, "rate": None,
    }  # fmt: skip
    bad = await shop.get("/v1/voice/reach/customers", params={"what": "shares", "value": "email"})
    assert (bad.status_code, bad.json()["field"]) == (400, "value")
