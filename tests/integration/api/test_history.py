"""Counts of the past, and their history."""

import random
from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import httpx
import pytest

from services.api.history.answers import History
from services.api.phases.answers import Counts
from services.api.shared.parameters import parse_instant
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, PHASES, SECOND_US, Rows
from tests.support.stack import until
from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.kit.clock import rfc3339

NOW_US = AT_US + 100 * DAY_US
BERLIN = ZoneInfo("Europe/Berlin")


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
    by_phase: dict[str, dict[str, int]] = {name: defaultdict(int) for name in PHASES}
    for change in changes:
        if change["at_us"] < before_us:
            phase = by_phase[PHASES[change["phase"] - 1]]
            for name in ("active", "lapsed", "left", "returned"):
                phase[name] += change[name]
            phase["entered"] += change["active"] + change["lapsed"] + change["left"]
            phase["now"] += change["active"] + change["lapsed"]
    return by_phase


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
    as_of = rfc3339(NOW_US - ago_us)
    body = await ok(api, "/v1/phases/counts", Counts, as_of=as_of)
    assert (body["as_of"], body["settled_until"]) == (floored, rfc3339(NOW_US))
    before_us = NOW_US - NOW_US % MINUTE_US if ago_us <= 0 else _us(floored)
    questions: list[dict[str, str]] = [{}, {"channel": "email"}, {"source": "web", "channel": "direct"}]
    for which in questions:
        body = await ok(api, "/v1/phases/counts", Counts, as_of=as_of, **which)
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
    body = await ok(api, "/v1/phases/history", History, step=step, **span)
    assert (body["settled_until"], body["time_zone"], body["step"]) == (rfc3339(NOW_US), "Europe/Berlin", step)
    steps = body["steps"]
    assert (steps[0]["from"], steps[-1]["to"]) == (body["from"], body["to"])
    assert _us(body["from"]) <= NOW_US - until_us - span_us < _us(steps[0]["to"])
    for step_before, following in pairwise(steps):
        assert step_before["to"] == following["from"]
        assert step_before["customers"]["closing"] == following["customers"]["opening"]
        assert [p["closing"] for p in step_before["phases"]] == [p["opening"] for p in following["phases"]]
    for each in steps:
        opening, closing = (recount(past.changes, _us(each[end])) for end in ("from", "to"))
        for phase in each["phases"]:
            name = phase["phase"]
            for end, numbers in (("opening", opening[name]), ("closing", closing[name])):
                assert phase[end] == {key: numbers[key] for key in ("now", "active", "lapsed")}
            for key in ("entered", "left", "lapsed", "returned"):
                assert phase[key] == closing[name][key] - opening[name][key]
            assert phase["opening"]["now"] + phase["entered"] == phase["closing"]["now"] + phase["left"]
    filtered = await ok(api, "/v1/phases/history", History, step=step, channel="email", source="web", **span)
    only = [change for change in past.changes if change["channel"] == "email"]
    assert filtered["steps"][-1]["customers"]["closing"] == sum(
        numbers["now"] for numbers in recount(only, _us(filtered["to"])).values()
    )


async def test_a_late_event_restates_the_past(api: httpx.AsyncClient, past: Past) -> None:
    as_of = rfc3339(NOW_US - HOUR_US)
    before = (await ok(api, "/v1/phases/counts", as_of=as_of))["customers"]
    await past.rows.count(1, 1, at_us=NOW_US - 2 * HOUR_US)
    await past.rows.count(1, 1, at_us=NOW_US - 10 * MINUTE_US)

    async def restated() -> bool:
        return bool((await ok(api, "/v1/phases/counts", as_of=as_of))["customers"] == before + 1)

    await until(restated)
    after = await api.get("/v1/phases/counts", params={"as_of": as_of})
    again = {"If-None-Match": after.headers["etag"]}
    assert (await api.get("/v1/phases/counts", params={"as_of": as_of}, headers=again)).status_code == 304


async def test_the_past_before_anything_was_staged(api: httpx.AsyncClient, rows: Rows) -> None:
    body = await ok(api, "/v1/phases/counts", Counts, as_of="2026-11-23T20:28:33Z")
    assert (body["as_of"], body["settled_until"], body["customers"]) == (None, None, 0)
    body = await ok(api, "/v1/phases/history", History, step="day")
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


async def test_the_retention_cutoff_is_in_the_answers(api: httpx.AsyncClient, past: Past) -> None:
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
