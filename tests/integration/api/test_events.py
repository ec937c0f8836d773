"""The last events, and events that no vocabulary knows."""

from typing import Any

import httpx

from services.api.events.answers import Unmapped
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, SECOND_US, Rows
from tests.support.stack import Stack, until
from throughline.kit.clock import now_us, rfc3339

URL = "/v1/events/recent"


async def test_the_list_is_filtered_bounded_and_of_one_workspace(database: str, stack: Stack) -> None:
    service = await stack.start("api")
    async with Rows(database, stack.workspace_id) as rows, stack.api(service) as api:

        async def items(**which: Any) -> list[str]:
            answer = await api.get(URL, params=which)
            assert answer.status_code == 200, answer.text
            return [item["message_id"] for item in answer.json()["items"]]

        nothing = (await api.get(URL)).json()
        assert (nothing["items"], nothing["counts"], nothing["as_of"]) == ([], [], None)
        for number in range(6):
            warnings = "bot,illegal_id" if number % 2 else ""
            await rows.recent(f"m{number}", AT_US + number * SECOND_US, shard=number % 3, warnings=warnings)
        await rows.refused("r", AT_US + SECOND_US // 2)
        await rows.recent("theirs", AT_US, source=999, workspace=stack.workspace_id + 1)
        assert await until(items) == ["m5", "m4", "m3", "m2", "m1", "r", "m0"]
        assert await items(limit=3) == ["m5", "m4", "m3"]
        assert await items(verdict="ok") == ["m4", "m2", "m0"]
        assert await items(verdict="warning", source="web") == ["m5", "m3", "m1"]
        assert await items(verdict="rejected", source="web") == ["r"]
        assert await items(verdict="dropped") == []
        answer = await api.get(URL)
        same = await api.get(URL, headers={"If-None-Match": answer.headers["etag"]})
        assert (same.status_code, same.content) == (304, b"")
        await rows.through(now_us())
        for query, field in (
            ({"source": "nowhere"}, "source"),
            ({"verdict": "fine"}, "verdict"),
            ({"limit": 0}, "limit"),
        ):
            wrong = await api.get(URL, params=query)
            assert (wrong.status_code, wrong.json()["field"]) == (400, field)


async def test_refunds_that_take_nothing_back(api: httpx.AsyncClient, rows: Rows) -> None:
    empty = await ok(api, "/v1/events/unmapped", Unmapped)
    assert (empty["orphan_refunds"], empty["foreign_currency_refunds"]) == ([], [])
    await rows.refunds(-2, 4)
    await rows.refunds(5, -3, shard=1)
    await rows.refunds(7, source=99)
    await rows.refunds(0, 2, source=98)
    counted = await ok(api, "/v1/events/unmapped", Unmapped)
    assert counted["orphan_refunds"] == [{"source": None, "events": 7}, {"source": "web", "events": 3}]
    assert counted["foreign_currency_refunds"] == [{"source": None, "events": 2}, {"source": "web", "events": 1}]


async def test_unmapped_events(api: httpx.AsyncClient, rows: Rows) -> None:
    assert (await ok(api, "/v1/events/unmapped", Unmapped))["items"] == []
    await rows.unmapped("Quiz Finished", 7, first_us=AT_US + SECOND_US)
    await rows.unmapped("Quiz Finished", 5, shard=1, first_us=AT_US)
    await rows.unmapped("Quiz Finished", 20, source=99, first_us=AT_US + 5 * SECOND_US)
    for number in range(30):
        await rows.unmapped(f"Other {number:02}", 1 + number % 3)
    await rows.unmapped("Taken back", 0)
    first = (await ok(api, "/v1/events/unmapped", Unmapped, limit=1))["items"]
    assert first == [
        {
            "name": "Quiz Finished",
            "did_you_mean": None,
            "events": 32,
            "first_seen": rfc3339(AT_US),
            "last_seen": rfc3339(AT_US + 6 * SECOND_US),
            "sources": [{"source": None, "events": 20}, {"source": "web", "events": 12}],
        }
    ]
    names: list[tuple[int, str]] = []
    cursor: dict[str, str] = {}
    while True:
        body = await ok(api, "/v1/events/unmapped", Unmapped, limit=7, **cursor)
        names += [(-item["events"], item["name"]) for item in body["items"]]
        if body["next_cursor"] is None:
            break
        cursor = {"cursor": body["next_cursor"]}
    assert names == sorted(names)
    assert len(set(names)) == len(names) == 31
    await refused(api, 400, "bad_cursor", "/v1/events/unmapped", cursor="x")
