"""Moves and cycles as lists, over HTTP. That they are as long as their numbers is a law of its own."""

import httpx

from services.api.moves.answers import Cycles, Moves
from tests.support.answers import ok, refused
from tests.support.rows import ABANDON, AT_US, CHURN, SECOND_US, Rows
from throughline.kit.clock import rfc3339

DAY = 86_400


async def test_moves_by_each_filter(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 90 * DAY * SECOND_US)
    await rows.customer("ada", [(0, 1), (DAY, 3), (9 * DAY, ABANDON), (40 * DAY, 4)], channel="email")
    await rows.customer("ben", [(2, 1), (50 * DAY, 4), (80 * DAY, CHURN)])

    async def moves(**which: str | list[str]) -> list[tuple[str, str | None, str, str]]:
        answer = await ok(api, "/v1/moves", Moves, **which)
        assert (answer["total"], answer["total_is_exact"]) == (len(answer["items"]), True)
        return sorted((item["customer"], item["from"], item["to"], item["kind"]) for item in answer["items"])

    first = [("ada", None, "discovery", "enter"), ("ben", None, "discovery", "enter")]
    assert await moves(from_node="new") == sorted(first, key=str) == await moves(from_phase="unplaced")
    assert await moves(to_node="1/decision") == [("ada", "discovery", "decision", "enter")]
    assert await moves(to_node=["1/decision/lapsed", "1/purchase/lapsed"]) == await moves(kind="lapse")
    assert await moves(from_node="1/decision/lapsed", to_node="2/purchase") == await moves(
        kind="return", channel="email"
    )
    assert await moves(kind="enter", to_phase=["decision", "purchase"], channel="direct") == [
        ("ben", "discovery", "purchase", "enter")
    ]
    late = {"from": rfc3339(AT_US + 30 * DAY * SECOND_US), "to": rfc3339(AT_US + 60 * DAY * SECOND_US)}
    assert [move[0] for move in await moves(**late)] == ["ada", "ben"]
    assert [move[3] for move in await moves(**late, reading="paths")] == ["return"]
    pages = await ok(api, "/v1/moves", Moves, limit=4)
    rest = await ok(api, "/v1/moves", Moves, limit=4, cursor=pages["next_cursor"])
    assert (len(rest["items"]), rest["next_cursor"], rest["total"]) == (3, None, None)


async def test_moves_by_the_kept_counts(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("ada", [(0, 1), (5, 4)])
    await rows.count(1, 0, left=1)
    await rows.count(4, 1)
    for which in ({"to_phase": "purchase"}, {"from_phase": "discovery"}):
        answer = await ok(api, "/v1/moves", Moves, kind=["enter", "return"], **which)
        assert (answer["total"], len(answer["items"])) == (1, 1)


async def test_cycles_by_their_phases_and_outcome(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.through(AT_US + 90 * DAY * SECOND_US)
    await rows.customer("ada", [(0, 1), (DAY, 3), (9 * DAY, ABANDON), (40 * DAY, 4)])
    await rows.customer("ben", [(2, 1), (50 * DAY, 4), (80 * DAY, CHURN)])
    span = {"from": rfc3339(AT_US)}

    async def cycles(**which: str) -> list[tuple[str, int, str]]:
        answer = await ok(api, "/v1/variants/cycles", Cycles, **span, **which)
        assert answer["total"] == len(answer["items"])
        return sorted((item["customer"], item["cycle"], item["outcome"]) for item in answer["items"])

    assert await cycles() == [("ada", 1, "abandoned"), ("ada", 2, "open"), ("ben", 1, "churned")]
    assert await cycles(phases="discovery,decision") == [("ada", 1, "abandoned")]
    assert await cycles(phases="purchase", outcome="open") == [("ada", 2, "open")]
    assert await cycles(phases="purchase, discovery", outcome="open") == []


async def test_what_cannot_be_asked_is_named(api: httpx.AsyncClient, rows: Rows) -> None:
    at = rfc3339(AT_US)
    for path, code, field, which in (
        ("/v1/moves", "invalid_parameter", "from_node", {"from_node": "4/decision"}),
        ("/v1/moves", "invalid_parameter", "to_node", {"to_node": "decision"}),
        ("/v1/moves", "unknown_phase", "to_node", {"to_node": "1/buying/lapsed"}),
        ("/v1/moves", "unknown_phase", "to_phase", {"to_phase": "unplaced"}),
        ("/v1/moves", "invalid_parameter", "to", {"from": at, "to": at}),
        ("/v1/moves", "bad_cursor", "cursor", {"cursor": "x"}),
        ("/v1/variants/cycles", "unknown_phase", "phases", {"phases": "discovery,"}),
        ("/v1/variants/cycles", "invalid_parameter", "outcome", {"outcome": "won"}),
    ):
        problem = await refused(api, 400, code, path, **which)
        assert problem["field"] == field
