"""The phase models of a workspace, and a switch between generations."""

import httpx

from services.api.customers.answers import Customers
from services.api.events.answers import Unmapped
from services.api.history.answers import History
from services.api.journeys.answers import Journey
from services.api.models.answers import Models, Phases
from services.api.phases.answers import Counts
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, PHASES, Rows
from tests.support.stack import Stack
from throughline.kit.clock import rfc3339

OWN = """
name = "two_steps"
label = "Two steps"
[[phases]]
name = "looking"
label = "Looking"
window_days = 30
[[phases]]
name = "bought"
label = "Bought"
window_days = 90
[rules]
page = [{ phase = "looking" }]
order = [{ phase = "bought" }]
"""


async def test_the_model(api: httpx.AsyncClient) -> None:
    body = await ok(api, "/v1/phases", Phases)
    assert body["model"] == "seven_phase"
    assert [(phase["number"], phase["name"]) for phase in body["phases"]] == list(enumerate(PHASES, start=1))
    assert body["phases"][2]["window_seconds"] == 7 * 86400
    assert "order" in body["phases"][3]["touchpoints"]
    assert "cart_added" in body["phases"][2]["touchpoints"]


async def test_several_models(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US)
    await rows.count(4, 3, channel="email")
    await rows.customer("user-1", [(0, 4)], touchpoints=2)
    await rows.unmapped("Quiz Finished", 3)
    rows.model = await rows.live("two_steps", document=OWN)
    await rows.count(2, 5, channel="store")
    await rows.customer("user-1", [(0, 1), (5, 2)])
    building = await rows.live("six_stage", state="building")
    for slot in range(16):
        await rows.execute("insert into restage_slots values ($1, $2, $3, $4, 10, 50)", building, slot, b"", slot < 4)
    body = await ok(api, "/v1/models", Models)
    first = await ok(api, "/v1/models", Models, limit=1)
    rest = await ok(api, "/v1/models", Models, limit=9, cursor=first["next_cursor"])
    assert [*first["models"], *rest["models"]] == body["models"]
    assert (len(first["models"]), rest["next_cursor"], body["next_cursor"]) == (1, None, None)
    assert body["default"] == "seven_phase"
    assert [(m["name"], m["phases"], m["state"], m["default"]) for m in body["models"]] == [
        ("seven_phase", 7, "live", True),
        ("six_stage", 6, "building", False),
        ("two_steps", 2, "live", False),
    ]
    assert body["models"][0]["progress"] is None
    assert body["models"][1]["progress"]["fraction"] == 0.25
    assert body["models"][1]["progress"]["touchpoints"] == 800
    assert body["models"][2]["label"] == "Two steps"

    two_steps = {"model": "two_steps"}
    assert [p["name"] for p in (await ok(api, "/v1/phases", Phases, **two_steps))["phases"]] == ["looking", "bought"]
    assert (await ok(api, "/v1/phases/counts", Counts))["customers"] == 3
    assert (await ok(api, "/v1/phases/counts", Counts, **two_steps))["customers"] == 5
    assert (await ok(api, "/v1/phases/counts", as_of=rfc3339(AT_US), **two_steps))["model"] == "two_steps"
    assert (await ok(api, "/v1/phases/history", History, **two_steps))["model"] == "two_steps"
    assert (await ok(api, "/v1/channels", **two_steps))["channels"] == ["store"]
    assert (await ok(api, "/v1/events/unmapped", Unmapped, **two_steps))["items"] == []
    listed = (await ok(api, "/v1/customers", Customers, phase="bought", **two_steps))["items"]
    assert [item["customer"] for item in listed] == ["user-1"]
    await refused(api, 400, "unknown_phase", "/v1/customers", phase="bought")
    assert (await ok(api, "/v1/journey", Journey, customer="user-1"))["phase"] == "purchase"
    assert (await ok(api, "/v1/journey", Journey, customer="user-1", **two_steps))["phase"] == "bought"
    assert (await ok(api, "/v1/customers/user-1/journey", Journey, **two_steps))["model"] == "two_steps"

    for path in (
        "/v1/phases",
        "/v1/phases/counts",
        "/v1/phases/counts?as_of=2026-11-23T20:28:33Z",
        "/v1/phases/counts/stream",
        "/v1/phases/history",
        "/v1/channels",
        "/v1/customers",
        "/v1/journey?customer=user-1",
        "/v1/events/unmapped",
    ):
        for name, fault in (("shop", "no live model 'shop'"), ("six_stage", "still being built"), ("\0", "")):
            code = "unknown_model" if fault else "invalid_parameter"
            problem = await refused(api, 400, code, path, **httpx.QueryParams(path.partition("?")[2]), model=name)
            assert problem["field"] == "model"
            assert fault in problem["message"]
            assert not fault or "live are: seven_phase, two_steps" in problem["message"]

    await rows.execute("update workspaces set default_model = 'two_steps'")
    assert (await ok(api, "/v1/phases"))["model"] == "two_steps"
    await rows.execute("update workspaces set default_model = 'six_stage'")
    await refused(api, 503, "no_model", "/v1/phases")


async def test_a_switch_is_seen_at_once(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    await rows.count(1, 3)
    await rows.customer("user-1", [(0, 1)])
    old, new = rows.model, await rows.live("seven_phase", state="building")
    rows.model = new
    await rows.count(2, 4)
    await rows.customer("user-1", [(0, 2)])
    assert (await ok(api, "/v1/journey", customer="user-1"))["phase"] == "discovery"
    await rows.execute("update models set state = 'retired' where id = $1", old)
    await rows.execute("update models set state = 'live' where id = $1", new)
    await rows.execute("delete from phase_counts where model = $1", old)
    assert (await ok(api, "/v1/journey", customer="user-1"))["phase"] == "consideration"
    assert (await ok(api, "/v1/phases/counts", channel="direct"))["customers"] == 4
