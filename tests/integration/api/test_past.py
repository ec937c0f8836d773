"""The api as a process: counts of the past, their history, and several models beside each other."""

import random
from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.api import schemas
from services.api.shared.steps import parse_instant
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, PHASES, SECOND_US, Rows
from tests.support.stack import Stack, until
from throughline.journey.durations import MINUTE_US
from throughline.kit.clock import rfc3339

HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NOW_US = AT_US + 100 * DAY_US
BERLIN = ZoneInfo("Europe/Berlin")
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


class Past(NamedTuple):
    """Counts with a past, and what changed when."""

    rows: Rows
    changes: list[dict[str, Any]]


@pytest.fixture
async def past(rows: Rows) -> Past:
    """Changes over 200 days before NOW_US, more of them lately."""
    rows.zone = BERLIN
    await rows.execute("update workspaces set time_zone = 'Europe/Berlin' where id = $1", rows.workspace)
    await rows.through(NOW_US)
    changes: list[dict[str, Any]] = []
    chance = random.Random(4)
    for _ in range(70):
        ago_us = chance.randrange(chance.choice((2 * HOUR_US, 2 * DAY_US, 100 * DAY_US, 200 * DAY_US)))
        change: dict[str, Any] = {
            "phase": chance.randrange(1, 8),
            "active": chance.randrange(1, 9),
            "lapsed": chance.randrange(3),
            "left": chance.randrange(4),
            "returned": chance.randrange(2),
            "channel": chance.choice(("direct", "email")),
            "shard": chance.randrange(3),
            "at_us": NOW_US - 1 - ago_us,
        }
        await rows.count(**change)
        changes.append(change)
    return Past(rows, changes)


def recount(changes: list[dict[str, Any]], before_us: int) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {name: defaultdict(int) for name in PHASES}
    for change in changes:
        if change["at_us"] < before_us:
            phase = found[PHASES[change["phase"] - 1]]
            for name in ("active", "lapsed", "left", "returned"):
                phase[name] += change[name]
            phase["entered"] += change["active"] + change["lapsed"] + change["left"]
            phase["now"] += change["active"] + change["lapsed"]
    return found


@pytest.mark.parametrize(
    ("ago_us", "floored"),
    [
        (0, "2026-12-30T14:13:00Z"),
        (DAY_US + 7 * SECOND_US, "2026-12-29T14:13:00Z"),
        (3 * DAY_US, "2026-12-27T14:00:00Z"),
        (91 * DAY_US, "2026-09-29T22:00:00Z"),  # midnight in Berlin
        (-50 * DAY_US, "2026-12-30T14:13:00Z"),  # what has not come yet is not known
        (900 * DAY_US, "2024-07-12T22:00:00Z"),
    ],
)
async def test_counts_as_of_a_moment(api: httpx.AsyncClient, past: Past, ago_us: int, floored: str) -> None:
    asked = rfc3339(NOW_US - ago_us)
    body = await ok(api, "/v1/phases/counts", schemas.Counts, as_of=asked)
    assert (body["as_of"], body["settled_until"]) == (floored, rfc3339(NOW_US))
    before_us = NOW_US - NOW_US % MINUTE_US if ago_us <= 0 else _us(floored)
    questions: list[dict[str, str]] = [{}, {"channel": "email"}, {"source": "web", "channel": "direct"}]
    for which in questions:
        body = await ok(api, "/v1/phases/counts", schemas.Counts, as_of=asked, **which)
        channel = which.get("channel")
        expected = recount([c for c in past.changes if channel in (None, c["channel"])], before_us)
        assert body["customers"] == sum(phase["now"] for phase in expected.values())
        for phase in body["phases"]:
            numbers = expected[phase["phase"]]
            assert {name: phase[name] for name in ("now", "active", "lapsed", "entered", "left", "returned")} == {
                name: numbers[name] for name in ("now", "active", "lapsed", "entered", "left", "returned")
            }


def _us(instant: str) -> int:
    return parse_instant(instant, "")


@pytest.mark.parametrize(
    ("step", "span_us", "until_us"),
    [
        ("minute", 90 * MINUTE_US, 0),
        ("hour", 4 * DAY_US, 2 * DAY_US),
        ("hour", 50 * HOUR_US, 0),
        ("day", 130 * DAY_US, 9 * DAY_US),
    ],
)
async def test_the_history_adds_up(api: httpx.AsyncClient, past: Past, step: str, span_us: int, until_us: int) -> None:
    span = {"from": rfc3339(NOW_US - until_us - span_us), "to": rfc3339(NOW_US - until_us)}
    body = await ok(api, "/v1/phases/history", schemas.History, step=step, **span)
    assert (body["settled_until"], body["time_zone"], body["step"]) == (rfc3339(NOW_US), "Europe/Berlin", step)
    steps = body["steps"]
    assert (steps[0]["from"], steps[-1]["to"]) == (body["from"], body["to"])
    assert _us(body["from"]) <= NOW_US - until_us - span_us < _us(steps[0]["to"])
    for one, following in pairwise(steps):
        assert one["to"] == following["from"]
        assert one["customers"]["closing"] == following["customers"]["opening"]
        assert [p["closing"] for p in one["phases"]] == [p["opening"] for p in following["phases"]]
    for one in steps:
        opening, closing = (recount(past.changes, _us(one[end])) for end in ("from", "to"))
        for phase in one["phases"]:
            name = phase["phase"]
            for end, numbers in (("opening", opening[name]), ("closing", closing[name])):
                assert phase[end] == {key: numbers[key] for key in ("now", "active", "lapsed")}
            for key in ("entered", "left", "lapsed", "returned"):
                assert phase[key] == closing[name][key] - opening[name][key]
            assert phase["opening"]["now"] + phase["entered"] == phase["closing"]["now"] + phase["left"]
    filtered = await ok(api, "/v1/phases/history", schemas.History, step=step, channel="email", source="web", **span)
    only = [change for change in past.changes if change["channel"] == "email"]
    assert filtered["steps"][-1]["customers"]["closing"] == sum(
        numbers["now"] for numbers in recount(only, _us(filtered["to"])).values()
    )


async def test_a_late_event_restates_the_past(api: httpx.AsyncClient, past: Past) -> None:
    asked = rfc3339(NOW_US - HOUR_US)
    before = (await ok(api, "/v1/phases/counts", as_of=asked))["customers"]
    await past.rows.count(1, 1, at_us=NOW_US - 2 * HOUR_US)
    await past.rows.count(1, 1, at_us=NOW_US - 10 * MINUTE_US)

    async def restated() -> bool:
        return bool((await ok(api, "/v1/phases/counts", as_of=asked))["customers"] == before + 1)

    await until(restated, seconds=5)
    after = await api.get("/v1/phases/counts", params={"as_of": asked})
    again = {"If-None-Match": after.headers["etag"]}
    assert (await api.get("/v1/phases/counts", params={"as_of": asked}, headers=again)).status_code == 304


async def test_the_past_before_anything_was_staged(api: httpx.AsyncClient, rows: Rows) -> None:
    body = await ok(api, "/v1/phases/counts", schemas.Counts, as_of="2026-11-23T20:28:33Z")
    assert (body["as_of"], body["settled_until"], body["customers"]) == (None, None, 0)
    body = await ok(api, "/v1/phases/history", schemas.History, step="day")
    assert body["settled_until"] is None
    assert {step["customers"]["closing"] for step in body["steps"]} <= {0}


async def test_what_cannot_be_asked_of_the_past(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(NOW_US)
    for name, text in (("as_of", "yesterday"), ("as_of", "2026-11-23T20:28:33")):
        assert (await refused(api, 400, "invalid_parameter", "/v1/phases/counts", **{name: text}))["field"] == name
    await refused(api, 400, "unknown_parameter", "/v1/phases/counts/stream", as_of=rfc3339(NOW_US))
    history = "/v1/phases/history"
    assert (await refused(api, 400, "invalid_parameter", history, step="week"))["field"] == "step"
    problem = await refused(api, 400, "invalid_parameter", history, step="minute", **{"from": rfc3339(AT_US)})
    assert problem["field"] == "from"
    assert "reaches back to 2026-12-28T14:15:00Z" in problem["message"]
    for parameters in (
        {"from": "1800-01-01T00:00:00Z", "step": "day"},
        {"from": "0001-01-01T00:00:00Z", "step": "day"},
    ):
        assert "1500 steps" in (await refused(api, 400, "invalid_parameter", history, **parameters))["message"]
    await refused(api, 400, "unknown_source", history, source="shop")


async def test_the_retention_cutoff_is_said(api: httpx.AsyncClient, past: Past) -> None:
    await past.rows.customer("user-1", [(0, 1)])
    paths: tuple[tuple[str, dict[str, str]], ...] = (
        ("/v1/phases/counts", {}),
        ("/v1/phases/history", {}),
        ("/v1/journey", {"customer": "user-1"}),
    )
    for path, parameters in paths:
        assert (await ok(api, path, **parameters))["history_from"] is None
    await past.rows.execute("update workspaces set horizon_us = $1", AT_US)
    for path, parameters in (*paths, ("/v1/phases/counts", {"as_of": rfc3339(NOW_US - DAY_US)})):
        assert (
            await ok(api, path, channel="x", **parameters) if "phases" in path else await ok(api, path, **parameters)
        )["history_from"] == "2026-09-21T14:13:20Z"


# --- models -----------------------------------------------------------------------------------------------------------


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
    body = await ok(api, "/v1/models", schemas.Models)
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

    own = {"model": "two_steps"}
    assert [p["name"] for p in (await ok(api, "/v1/phases", schemas.Phases, **own))["phases"]] == ["looking", "bought"]
    assert (await ok(api, "/v1/phases/counts", schemas.Counts))["customers"] == 3
    assert (await ok(api, "/v1/phases/counts", schemas.Counts, **own))["customers"] == 5
    assert (await ok(api, "/v1/phases/counts", as_of=rfc3339(AT_US), **own))["model"] == "two_steps"
    assert (await ok(api, "/v1/phases/history", schemas.History, **own))["model"] == "two_steps"
    assert (await ok(api, "/v1/channels", **own))["channels"] == ["store"]
    assert (await ok(api, "/v1/events/unmapped", schemas.Unmapped, **own))["items"] == []
    listed = (await ok(api, "/v1/customers", schemas.Customers, phase="bought", **own))["items"]
    assert [item["customer"] for item in listed] == ["user-1"]
    await refused(api, 400, "unknown_phase", "/v1/customers", phase="bought")
    assert (await ok(api, "/v1/journey", schemas.Journey, customer="user-1"))["phase"] == "purchase"
    assert (await ok(api, "/v1/journey", schemas.Journey, customer="user-1", **own))["phase"] == "bought"
    assert (await ok(api, "/v1/customers/user-1/journey", schemas.Journey, **own))["model"] == "two_steps"

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
        for name, said in (("shop", "no live model 'shop'"), ("six_stage", "still being built"), ("\0", "")):
            code = "unknown_model" if said else "invalid_parameter"
            problem = await refused(api, 400, code, path, **httpx.QueryParams(path.partition("?")[2]), model=name)
            assert problem["field"] == "model"
            assert said in problem["message"]
            assert not said or "live are: seven_phase, two_steps" in problem["message"]

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
