"""Live counts, what their filters take, and what many clients cost."""

import asyncio

import httpx

from services.api.phases.answers import Channels, Counts, PhaseCounts, Sources
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, PHASES, SECOND_US, Rows
from tests.support.stack import Stack, until
from throughline.kit.clock import now_us, rfc3339
from throughline.store.access.sources import create_source
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction


async def test_counts_of_an_empty_workspace(api: httpx.AsyncClient) -> None:
    body = await ok(api, "/v1/phases/counts", Counts)
    assert (body["as_of"], body["customers"], body["unplaced"]) == (None, 0, 0)
    assert [phase["phase"] for phase in body["phases"]] == list(PHASES)
    assert (body["settled_until"], body["history_from"]) == (None, None)


async def test_counts_are_summed_over_shards_and_as_of_is_the_least_partition(
    api: httpx.AsyncClient, rows: Rows
) -> None:
    await rows.through(AT_US + 5, partition=0)
    await rows.through(AT_US, partition=1)
    await rows.through(AT_US - 9, topic="another topic")
    await rows.count(0, 4, entered=0)
    await rows.count(1, 10, lapsed=2, churned=1, left=3, returned=3, shard=0)
    await rows.count(1, -1, left=1, shard=1)
    await rows.count(2, 7, shard=3)
    body = await ok(api, "/v1/phases/counts", Counts)
    assert body["as_of"] == "2026-09-21T14:13:20Z"
    assert (body["customers"], body["unplaced"]) == (18, 4)
    assert body["phases"][0].pop("links").keys() == set(body["phases"][0]) - {"phase", "withheld"}
    assert body["phases"][0] == {
        "phase": "discovery", "now": 11, "active": 9, "lapsed": 2, "abandoned": 1, "churned": 1, "entered": 15,
        "left": 4, "returned": 3, "withheld": False,
    }  # fmt: skip
    for phase in body["phases"]:
        assert phase["now"] == phase["active"] + phase["lapsed"] == phase["entered"] - phase["left"]


async def test_counts_by_source_and_channel(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        pos = await create_source(connection, stack.workspace, "pos", now_us=now_us())
    await engine.dispose()
    await rows.count(1, 10, channel="email")
    await rows.count(1, 5, channel="direct")
    await rows.count(2, 3, source=pos, channel="email")

    async def customers(**which: str) -> int:
        return int((await ok(api, "/v1/phases/counts", Counts, **which))["customers"])

    assert await customers() == 18
    assert await customers(source="web") == 15
    assert await customers(source="pos") == 3
    assert await customers(channel="email") == 13
    assert await customers(source="web", channel="email") == 10
    assert await customers(channel="fax") == 0
    assert [s["name"] for s in (await ok(api, "/v1/sources", Sources))["sources"]] == ["pos", "web"]
    assert (await ok(api, "/v1/channels", Channels))["channels"] == ["direct", "email"]
    problem = await refused(api, 400, "unknown_source", "/v1/phases/counts", source="shop")
    assert problem["field"] == "source"
    assert "pos, web" in problem["message"]
    assert (await refused(api, 400, "unknown_parameter", "/v1/phases/counts", chanel="x"))["field"] == "chanel"
    assert (await refused(api, 400, "invalid_parameter", "/v1/phases/counts", channel="\0"))["field"] == "channel"


async def test_an_etag_names_the_last_change(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US)
    await rows.count(1, 1)
    first = await api.get("/v1/phases/counts")
    etag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    await rows.through(AT_US + SECOND_US)

    async def moved_on() -> bool:
        again = await api.get("/v1/phases/counts")
        assert again.headers["etag"] == etag
        return bool(again.json()["as_of"] != first.json()["as_of"])

    await until(moved_on)
    same = await api.get("/v1/phases/counts", headers={"If-None-Match": etag})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", etag)
    await rows.count(1, 1)

    async def changed() -> bool:
        return (await api.get("/v1/phases/counts", headers={"If-None-Match": etag})).status_code == 200

    await until(changed)


async def test_many_clients_cost_few_questions(stack: Stack) -> None:
    name = 'throughline_api_query_seconds_count{query="counts"}'
    service = await stack.start("api", TOKEN_REQUESTS="0")
    async with stack.api(service) as api:
        await asyncio.gather(*(ok(api, "/v1/phases/counts") for _ in range(200)))
        started = asyncio.get_running_loop().time()
        before = (await service.metrics())[name]
        for _ in range(5):
            await asyncio.gather(*(ok(api, "/v1/phases/counts") for _ in range(100)))
        took = asyncio.get_running_loop().time() - started
        assert (await service.metrics())[name] - before <= took / 0.25 + 1


async def test_sources_and_channels_come_in_pages(api: httpx.AsyncClient, rows: Rows) -> None:
    names = sorted([*(f"own-{number:02}" for number in range(11)), "direct", "(other)"])
    for name in names:
        await rows.count(1, 2, channel=name)
    for path, member, answer, expected in (
        ("/v1/channels", "channels", Channels, names),
        ("/v1/sources", "sources", Sources, ["web"]),
    ):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while True:
            page = await ok(api, path, answer, limit=4, **cursor)
            seen += [item if isinstance(item, str) else item["name"] for item in page[member]]
            if page["next_cursor"] is None:
                break
            assert len(page[member]) == 4
            cursor = {"cursor": page["next_cursor"]}
        assert seen == expected
        await refused(api, 400, "bad_cursor", path, cursor="x")
    assert (await ok(api, "/v1/phases/counts", channel="(other)"))["customers"] == 2


async def test_counts_by_group(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        pos = await create_source(connection, stack.workspace, "pos", now_us=now_us())
    await engine.dispose()
    await rows.through(AT_US + 3_600 * SECOND_US)
    await rows.count(1, 10, lapsed=2, churned=1, channel="email")
    await rows.count(0, 4, channel="email")
    await rows.count(2, 3, source=pos, channel="email", shard=1, at_us=AT_US + 1_800 * SECOND_US)
    await rows.count(1, 5, left=2, channel="direct", at_us=AT_US + 1_800 * SECOND_US)
    numbers = set(PhaseCounts.__struct_fields__) - {"phase", "withheld", "links"}
    for when in ({}, {"as_of": rfc3339(AT_US + 600 * SECOND_US)}):
        for by, values in (("channel", ["email", "direct"]), ("source", ["web", "pos"])):
            answer = await ok(api, "/v1/phases/counts", Counts, group_by=by, **when)
            whole = await ok(api, "/v1/phases/counts", Counts, **when)
            assert {**answer, "groups": []} == whole
            shown = values if not when else [value for value in values if value in ("email", "web")]
            assert [group["value"] for group in answer["groups"]] == shown
            for group in answer["groups"]:
                alone = await ok(api, "/v1/phases/counts", Counts, **{by: group["value"]}, **when)
                assert {key: alone[key] for key in ("customers", "unplaced", "phases", "links")} == {
                    key: group[key] for key in ("customers", "unplaced", "phases", "links")
                }
            for number in numbers:
                for phase in range(len(PHASES)):
                    parts = sum(group["phases"][phase][number] for group in answer["groups"])
                    assert parts == answer["phases"][phase][number]
    unchanged = await api.get("/v1/phases/counts?group_by=channel")
    again = await api.get("/v1/phases/counts?group_by=channel", headers={"If-None-Match": unchanged.headers["etag"]})
    assert again.status_code == 304
    await rows.execute("UPDATE workspaces SET min_cell = 4")

    async def is_withheld() -> bool:
        answers = [
            await ok(api, "/v1/phases/counts", Counts, **parameters)
            for parameters in ({}, {"group_by": "channel"}, {"channel": "email"})
        ]
        return all(answer["min_cell"] == 4 for answer in answers)

    await until(is_withheld, what="the api to know the smallest count")
    for when in ({}, {"as_of": rfc3339(AT_US + 600 * SECOND_US)}):
        small = await ok(api, "/v1/phases/counts", Counts, group_by="channel", **when)
        whole = await ok(api, "/v1/phases/counts", Counts, **when)
        assert {**small, "groups": []} == whole
        assert whole["links"] == {}
        email = await ok(api, "/v1/phases/counts", Counts, channel="email", **when)
        assert next(group for group in small["groups"] if group["value"] == "email")["phases"] == email["phases"]
