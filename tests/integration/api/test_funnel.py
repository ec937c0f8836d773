"""Funnels, trends, time and flows of six customers, as a client reads them."""

from urllib.parse import parse_qsl

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.flows.answers import PhaseFlows, Variants
from services.api.funnel import queries
from services.api.funnel.answers import Funnel, FunnelCustomers, PhaseTime, Trend
from services.api.shared.days import Days
from services.api.shared.queries import CustomerFilter
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, SECOND_US, Rows
from tests.support.six_customers import NOW_US, START_US, day_of, journeys
from throughline.journey import flows, funnel
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError
from throughline.store.engine.unit_of_work import reading

SPAN = {"from": rfc3339(START_US), "to": rfc3339(NOW_US)}


@pytest.fixture
async def shop(rows: Rows) -> Rows:
    """The sums that stager keeps of the six customers, in two shards."""
    await rows.through(NOW_US)
    for number, (journey, transitions) in enumerate(journeys()):
        cells: funnel.FunnelDeltas = {}
        moves: flows.FlowDeltas = {}
        variants: flows.VariantDeltas = {}
        owner = journey._replace(source=rows.source)
        funnel.contribute(cells, rows.model, owner, None, transitions, day_of)
        flows.contribute(moves, variants, rows.model, owner, None, transitions, day_of)
        await rows.sums("funnel_counts", cells, shard=number % 2)
        await rows.sums("flow_counts", moves, shard=number % 2)
        await rows.sums("variant_counts", variants, shard=number % 2)
    return rows


async def test_each_step_adds_up_to_the_cohort(api: httpx.AsyncClient, shop: Rows) -> None:
    answer = await ok(api, "/v1/funnel", Funnel, **SPAN, steps="discovery,decision,purchase", window="7d", by="channel")
    assert (answer["cohort"]["entered"], answer["cohort"]["mature"], answer["cohort"]["immature"]) == (5, 4, 1)
    decision, purchase = answer["steps"]
    assert {key: decision[key] for key in ("phase", "reached", "entered", "lapsed", "ended", "still")} == {
        "phase": "decision", "reached": 3, "entered": 3, "lapsed": 1, "ended": 0, "still": 1,
    }  # fmt: skip
    assert (purchase["reached"], purchase["lapsed"], purchase["still"]) == (1, 2, 2)
    assert decision["within"]["reached"] == 2
    path, _, query = decision["customers"].partition("?")
    assert path == "/v1/funnel/customers"
    assert dict(parse_qsl(query)) | SPAN == dict(parse_qsl(query))
    assert [round(decision["within"]["rate"][key], 3) for key in ("rate", "low", "high")] == [0.5, 0.15, 0.85]
    assert [(part["value"], part["cohort"]["entered"]) for part in answer["breakdown"]] == [("web", 3), ("email", 2)]
    for key in ("reached", "lapsed", "ended", "still"):
        assert sum(part["steps"][0][key] for part in answer["breakdown"]) == decision[key]


async def test_a_customer_counts_once(api: httpx.AsyncClient, shop: Rows) -> None:
    answer = await ok(api, "/v1/funnel", Funnel, **SPAN, steps="discovery,decision", unit="customer", window="none")
    assert (answer["cohort"]["entered"], answer["steps"][0]["reached"], answer["window"]) == (6, 4, None)
    assert answer["steps"][0]["entered"] is None


async def test_the_customers_behind_a_number(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 86_400_000_000)
    await rows.customer("ada", [(0, 1), (7, 3)])
    await rows.customer("ben", [(1, 1)])
    await rows.customer("cleo", [(2, 2)])
    question = {"from": rfc3339(AT_US), "to": rfc3339(AT_US + 1), "steps": "discovery,decision"}
    reached = await ok(api, "/v1/funnel/customers", FunnelCustomers, **question)
    assert reached["items"] == [
        {
            "customer": "ada",
            "cycle": 1,
            "entered_at": rfc3339(AT_US),
            "reached_at": rfc3339(AT_US + 7 * SECOND_US),
        }
    ]
    linked = (await ok(api, "/v1/funnel", Funnel, **question))["steps"][0]["customers"]
    path, _, query = linked.partition("?")
    assert (await ok(api, path, FunnelCustomers, **dict(parse_qsl(query))))["items"] == reached["items"]
    cohort = await ok(api, "/v1/funnel/customers", FunnelCustomers, **question, outcome="cohort", limit=1)
    cursor = cohort["next_cursor"]
    rest = await ok(api, "/v1/funnel/customers", FunnelCustomers, **question, outcome="cohort", cursor=cursor)
    assert {item["customer"] for item in (*cohort["items"], *rest["items"])} == {"ada", "ben"}
    still = await ok(api, "/v1/funnel/customers", FunnelCustomers, **question, outcome="still", unit="customer")
    assert {item["customer"] for item in still["items"]} == {"ben", "cleo"}
    other = await ok(api, "/v1/funnel/customers", FunnelCustomers, **question, outcome="cohort", channel="(other)")
    assert other["items"] == []


async def test_the_trend_is_the_funnel_day_by_day(api: httpx.AsyncClient, shop: Rows) -> None:
    for step in ("day", "week", "month"):
        trend = await ok(api, "/v1/funnel/trend", Trend, **SPAN, steps="discovery,decision", window="7d", step=step)
        assert sum(day["cohort"]["entered"] for day in trend["days"]) == 5
        assert sum(day["reached"] for day in trend["days"]) == 3
        assert sum(day["within"]["mature"] for day in trend["days"]) == 4
        assert trend["days"][0]["settled"]
        assert not trend["days"][-1]["settled"]


async def test_a_span_is_compared_with_the_one_before(api: httpx.AsyncClient, shop: Rows) -> None:
    later = {"from": rfc3339(START_US + 30 * 86_400_000_000), "to": rfc3339(NOW_US)}
    answer = await ok(api, "/v1/funnel", Funnel, **later, steps="discovery,decision", window="7d", compare="previous")
    assert (answer["cohort"]["entered"], answer["compared"]["cohort"]["entered"]) == (2, 3)
    assert answer["compared"]["to"] == later["from"]
    difference = answer["compared"]["differences"][0]
    assert difference["difference"]["low"] < 0 < difference["difference"]["high"]
    assert difference["shown"] is False


async def test_time_in_a_phase(api: httpx.AsyncClient, shop: Rows) -> None:
    answer = await ok(api, "/v1/funnel/time", PhaseTime, **SPAN, phase="discovery")
    assert answer["entered"] == 5
    for age in answer["ages"]:
        assert age["still"] + age["lapsed"] + age["ended"] + sum(age["advanced"].values()) == pytest.approx(1)
    assert answer["ages"][-1]["lapsed"] == pytest.approx(0.2)


async def test_moves_explain_the_counts(api: httpx.AsyncClient, shop: Rows) -> None:
    answer = await ok(api, "/v1/flows", PhaseFlows, **SPAN)
    nodes = {node["id"]: node for node in answer["nodes"]}
    assert all(node["opening"] + node["in"] == node["closing"] + node["out"] for node in nodes.values())
    stand = {id: node["closing"] for id, node in nodes.items() if node["closing"]}
    assert stand == dict.fromkeys(
        ("1/consideration", "1/decision", "1/decision/lapsed", "1/loyalty", "1/purchase", "2/consideration"), 1
    )
    edges = {(edge["from"], edge["to"]): edge["moves"] for edge in answer["edges"]}
    assert edges["new", "1/discovery"] == 5
    assert edges["1/discovery/lapsed", "2/consideration"] == 1
    cut = await ok(api, "/v1/flows", PhaseFlows, **SPAN, edges=1)
    assert cut["nodes"] == answer["nodes"]
    assert sum(edge["moves"] for edge in cut["edges"]) == sum(edges.values())


async def test_variants_add_up(api: httpx.AsyncClient, shop: Rows) -> None:
    answer = await ok(api, "/v1/variants", Variants, **SPAN)
    assert answer["total"] == sum(variant["cycles"] for variant in answer["variants"]) == 7
    shown = [(variant["phases"], variant["outcome"], variant["cycles"]) for variant in answer["variants"]]
    assert (["discovery", "decision"], "open", 1) in shown


@pytest.mark.parametrize(
    ("path", "parameters", "code", "field"),
    [
        ("/v1/funnel", {"steps": "discovery"}, "invalid_parameter", "steps"),
        ("/v1/funnel", {"steps": "decision,discovery"}, "invalid_parameter", "steps"),
        ("/v1/funnel", {"steps": "discovery,nowhere"}, "unknown_phase", "steps"),
        ("/v1/funnel", {"window": "2d"}, "invalid_parameter", "window"),
        ("/v1/funnel", {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "invalid_parameter", "from"),
        ("/v1/funnel", {"from": "2020-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "invalid_parameter", "from"),
        ("/v1/funnel/time", {"phase": "nowhere"}, "unknown_phase", "phase"),
        ("/v1/flows", {"edges": "0"}, "invalid_parameter", "edges"),
        ("/v1/variants/kinds", {"goal": "nowhere"}, "unknown_phase", "goal"),
        ("/v1/funnel", {"by": "device", "unit": "customer"}, "invalid_parameter", "by"),
        ("/v1/funnel/customers", {"by": "device"}, "invalid_parameter", "value"),
        ("/v1/abandonment", {"phase": "nowhere"}, "unknown_phase", "phase"),
        ("/v1/abandonment", {"phase": "decision", "window": "7d"}, "invalid_parameter", "window"),
        ("/v1/abandonment/customers", {"phase": "decision", "value": "tv"}, "invalid_parameter", "value"),
        ("/v1/abandonment/friction", {"phase": "decision", "kind": "nothing"}, "invalid_parameter", "kind"),
        ("/v1/abandonment/visits", {"kind": "checkout", "next": "nothing"}, "invalid_parameter", "next"),
        ("/v1/attribution", {"compare_rules": "first,worst"}, "invalid_parameter", "compare_rules"),
        ("/v1/attribution", {"goal": "nowhere"}, "unknown_phase", "goal"),
        ("/v1/attribution", {"goal": "kind:nothing"}, "invalid_parameter", "goal"),
        ("/v1/attribution", {"weights": "1,2"}, "invalid_parameter", "weights"),
        ("/v1/attribution", {"weights": "0,0,0"}, "invalid_parameter", "weights"),
        ("/v1/attribution/orders", {"weights": "1,nan,2"}, "invalid_parameter", "weights"),
        ("/v1/attribution/orders", {"cursor": "nothing"}, "bad_cursor", "cursor"),
    ],
)
async def test_a_wrong_parameter_is_named(
    api: httpx.AsyncClient, shop: Rows, path: str, parameters: dict[str, str], code: str, field: str
) -> None:
    assert (await refused(api, 400, code, path, **parameters))["field"] == field


async def test_a_generation_of_before_has_to_be_restaged(api: httpx.AsyncClient, shop: Rows) -> None:
    await shop.execute("update models set has_funnels = false where id = $1", shop.model)
    problem = await refused(api, 409, "restage_needed", "/v1/funnel")
    assert "throughline restage --model seven_phase" in problem["message"]
    await shop.execute(
        "update models set has_funnels = true, has_conversions = false where id = $1", shop.model
    )  # fmt: skip
    problem = await refused(api, 409, "restage_needed", "/v1/attribution")
    assert "throughline restage --model seven_phase" in problem["message"]
    await shop.execute("update models set has_trails = false where id = $1", shop.model)
    for path, parameters in (
        ("/v1/funnel", {"by": "device"}),
        ("/v1/funnel/customers", {"by": "campaign", "value": "spring"}),
        ("/v1/abandonment", {"by": "campaign", "phase": "decision"}),
        ("/v1/abandonment/customers", {"by": "device", "value": "tv", "phase": "decision"}),
        ("/v1/abandonment/last", {"phase": "decision"}),
        ("/v1/abandonment/last/list", {"phase": "decision"}),
        ("/v1/variants/kinds", {}),
        ("/v1/variants/kinds/cycles", {}),
        ("/v1/customers", {"campaign": "spring"}),
    ):
        problem = await refused(api, 409, "restage_needed", path, **parameters)
        assert "throughline restage --model seven_phase" in problem["message"]
    await ok(api, "/v1/funnel", Funnel, **SPAN, by="cycle")


async def test_a_breakdown_names_the_channels_counted_as_one_once(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(NOW_US)
    journey, transitions = journeys()[0]
    for number in range(23):
        # The largest cohort is that of the channels that are counted as one.
        for channel in (f"own-{number:02}", "(other)"):
            cells: funnel.FunnelDeltas = {}
            owner = journey._replace(source=rows.source, channel=channel)
            funnel.contribute(cells, rows.model, owner, None, transitions, day_of)
            await rows.sums("funnel_counts", cells, shard=number)
    answer = await ok(api, "/v1/funnel", Funnel, **SPAN, by="channel")
    parts = {part["value"]: part["cohort"]["entered"] for part in answer["breakdown"]}
    assert len(parts) == len(answer["breakdown"]) == 21
    assert parts["(other)"] == 3 * answer["cohort"]["entered"] // 46 + 23 * answer["cohort"]["entered"] // 46
    assert sum(parts.values()) == answer["cohort"]["entered"]


async def test_a_question_reads_so_many_sums_at_most(
    shop: Rows, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = (shop.model, funnel.CYCLE, 1, Days((START_US,), NOW_US), CustomerFilter())
    async with reading(engine) as connection:
        cells = sum(map(len, (await queries.read_funnel(connection, *question)).values()))
        monkeypatch.setattr(queries, "MAX_CELLS", cells)
        await queries.read_funnel(connection, *question)
        monkeypatch.setattr(queries, "MAX_CELLS", cells - 1)
        with pytest.raises(ServiceError, match="ask for fewer days") as refusal:
            await queries.read_funnel(connection, *question)
    assert (refusal.value.status, refusal.value.field) == (400, "from")
