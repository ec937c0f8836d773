"""A workspace that withholds small cells, over HTTP: every answer that gives counts says less, and says so."""

import httpx

from services.api.history.answers import History
from services.api.phases.answers import Channels, Counts
from tests.support.answers import ok
from tests.support.rows import AT_US, Rows
from throughline.kit.clock import rfc3339

MINUTE_US = 60_000_000


async def set_min_cell(rows: Rows, min_cell: int) -> None:
    await rows.execute("UPDATE workspaces SET min_cell = $1", min_cell)


async def test_no_answer_has_a_small_number(api: httpx.AsyncClient, rows: Rows) -> None:
    await set_min_cell(rows, 5)
    await rows.through(AT_US + 10 * MINUTE_US)
    await rows.count(1, 12, lapsed=3, churned=1, left=7)
    await rows.count(1, 4, channel="email")
    await rows.count(2, 1, channel="secret", at_us=AT_US + MINUTE_US)
    counts = await ok(api, "/v1/phases/counts", Counts)
    assert counts["min_cell"] == 5
    first, second = counts["phases"][:2]
    assert (first["active"], first["lapsed"], first["left"], first["now"], first["entered"]) == (10, 0, 5, 10, 15)
    assert (second["now"], second["withheld"], counts["customers"]) == (0, True, 10)
    assert (await ok(api, "/v1/channels", Channels))["channels"] == ["direct"]
    email = await ok(api, "/v1/phases/counts", Counts, channel="email")
    assert {number for phase in email["phases"] for number in phase.values() if type(number) is int} == {0}
    past = await ok(api, "/v1/phases/counts", Counts, as_of=rfc3339(AT_US + 5 * MINUTE_US))
    assert past["phases"] == counts["phases"]


async def test_history_changes_by_what_is_shown(api: httpx.AsyncClient, rows: Rows) -> None:
    await set_min_cell(rows, 3)
    await rows.through(AT_US + 10 * MINUTE_US)
    for minute, active in enumerate((2, 2, 1, 4)):
        await rows.count(1, active, at_us=AT_US + minute * MINUTE_US)
    history = await ok(api, "/v1/phases/history", History, **{"step": "minute", "from": rfc3339(AT_US)})
    assert history["min_cell"] == 3
    steps = [step["phases"][0] for step in history["steps"]][:5]
    assert [step["closing"]["now"] for step in steps] == [0, 3, 3, 9, 9]
    assert [step["entered"] for step in steps] == [0, 3, 0, 6, 0]
    for step in steps:
        assert step["opening"]["now"] + step["entered"] == step["closing"]["now"] + step["left"]
    # Each moment is the same, asked for by itself.
    for step in history["steps"][:5]:
        counts = await ok(api, "/v1/phases/counts", Counts, as_of=step["to"])
        assert counts["phases"][0]["now"] == step["phases"][0]["closing"]["now"]


async def test_lists_and_other_models_are_withheld(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1)])
    await rows.live("six_stage")
    await set_min_cell(rows, 5)
    for path in ("phases/counts", "phases/history", "channels", "events/unmapped"):
        refused = await api.get(f"/v1/{path}?model=six_stage")
        assert (refused.status_code, refused.json()["code"]) == (403, "withheld"), path
    assert (await api.get("/v1/phases/counts?model=seven_phase")).status_code == 200
    for path in (
        "customers",
        "moves",
        "variants/cycles",
        "funnel",
        "funnel/customers",
        "funnel/trend",
        "funnel/time",
        "flows",
        "variants",
        "messages",
        "messages/customers",
        "voice",
        "voice/answers",
        "voice/reach",
        "voice/reach/customers",
        "referrals",
        "referrals/customers",
        "customers/ada/referrals",
        "attribution",
        "attribution/paths",
        "attribution/orders",
    ):
        refused = await api.get(f"/v1/{path}")
        assert (refused.status_code, refused.json()["code"]) == (403, "withheld"), path
