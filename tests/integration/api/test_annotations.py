"""Annotations of time axes: who writes them, and which appear by themselves."""

from typing import Any

import httpx

from services.api.annotations.answers import AnnotationAnswer, Annotations
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, SECOND_US, Rows
from tests.support.stack import Stack
from throughline.kit.clock import rfc3339
from throughline.store.annotations import MAX_ANNOTATIONS

PATH = "/v1/annotations"


def at(seconds: int) -> str:
    return rfc3339(AT_US + seconds * SECOND_US)


async def texts(api: httpx.AsyncClient, **span: str) -> list[str]:
    answer = await ok(api, PATH, Annotations, **span)
    return [item["text"] for item in answer["items"]]


async def test_annotations(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    office = {"Authorization": f"Bearer {await stack.admin_token()}"}

    async def write(method: str, path: str = PATH, /, **body: Any) -> httpx.Response:
        return await api.request(method, path, json=body or None, headers=office)

    assert (await api.post(PATH, json={"at": at(0), "text": "x"})).json()["code"] == "insufficient_scope"
    for wrong in (
        {"at": at(0)},
        {"text": "x"},
        {"at": "yesterday", "text": "x"},
        {"at": at(0), "text": ""},
        {"at": at(0), "text": "  "},
        {"at": at(0), "text": "a\nb"},
        {"at": at(0), "text": "a\0b"},
        {"at": at(0), "text": "x" * 201},
        {"at": at(0), "text": "x", "kind": "model"},
        {"at": at(0), "text": "x", "until": at(0)},
        {"at": at(0), "text": "x", "id": 1},
    ):
        response = await write("POST", **wrong)
        assert response.status_code == 400, wrong
        assert response.json()["field"], wrong

    release = (await write("POST", at=at(10), text=" New checkout 🛒 ", kind="release")).json()
    assert release == {
        "id": release["id"],
        "at": at(10),
        "until": None,
        "kind": "release",
        "text": "New checkout 🛒",
        "created_at": release["created_at"],
        "created_by": release["created_by"],
    }
    assert "(office)" in release["created_by"]
    campaign = (
        await write("POST", at="2026-09-21T16:13:40+02:00", until=at(40), text="=Spring", kind="campaign")
    ).json()
    assert (campaign["at"], campaign["until"]) == (at(20), at(40))

    assert await texts(api) == ["New checkout 🛒", "=Spring"]
    assert await texts(api, **{"from": at(11)}) == ["=Spring"]
    assert await texts(api, **{"from": at(39), "to": at(50)}) == ["=Spring"]
    assert await texts(api, **{"from": at(40)}) == []
    assert await texts(api, to=at(20)) == ["New checkout 🛒"]
    await refused(api, 400, "invalid_parameter", PATH, to="x")
    assert "'=Spring" in (await api.get(f"{PATH}.csv")).text

    own = f"{PATH}/{campaign['id']}"
    assert (await write("PATCH", own, text="Spring")).json() == {**campaign, "text": "Spring"}
    assert (await write("PATCH", own, until=None, at=at(30))).json()["until"] is None
    assert (await write("PATCH", own, until=at(30))).json()["field"] == "until"
    assert (await write("PATCH", own, at=None, kind="incident")).json()["at"] == at(30)
    assert (await write("PATCH", f"{PATH}/999", text="x")).json()["code"] == "unknown_annotation"
    assert (await write("PATCH", f"{PATH}/{2**63}", text="x")).status_code == 400
    assert (await api.patch(own, json={"text": "x"})).json()["code"] == "insufficient_scope"

    # Another workspace's are its own.
    await rows.execute("update annotations set workspace = workspace + 1 where id = $1", release["id"])
    assert await texts(api) == ["Spring"]
    assert (await write("DELETE", f"{PATH}/{release['id']}")).json()["code"] == "unknown_annotation"
    assert (await write("DELETE", own)).json()["text"] == "Spring"
    assert await texts(api) == []
    actions = [row[0] for row in await rows.fetch("select action from audit_log order by id")]
    assert actions == ["annotation create"] * 2 + ["annotation change"] * 3 + ["annotation delete"]


async def test_models_appear_by_themselves_and_the_number_is_bounded(
    api: httpx.AsyncClient, rows: Rows, stack: Stack
) -> None:
    office = {"Authorization": f"Bearer {await stack.admin_token()}"}
    await rows.execute("update workspaces set created_us = $1", AT_US - 1)
    await rows.execute("update models set created_us = $1", AT_US - 1)
    await rows.live("six_stage")
    await rows.live("five_stage", state="building")
    await rows.live("need_to_review", state="retired")
    answer = await ok(api, PATH, Annotations)
    assert [(item["id"], item["kind"], item["text"], item["at"]) for item in answer["items"]] == [
        (None, "model", "model six_stage restaged", at(0)),
        (None, "model", "model five_stage is being restaged", at(0)),
    ]
    assert await texts(api, to=at(0)) == []

    await rows.execute(
        "insert into annotations (workspace, at_us, kind, text, created_us, created_by) "
        "select $1, $2::bigint + n, 'note', 'n' || n, 0, 'x' from generate_series(1, $3) n",
        rows.workspace,
        AT_US - 10_000,
        MAX_ANNOTATIONS - 1,
    )
    last = await api.post(PATH, json={"at": at(-9), "text": "first of all"}, headers=office)
    assert last.status_code == 200
    AnnotationAnswer(**last.json())
    full = await api.post(PATH, json={"at": at(0), "text": "x"}, headers=office)
    assert (full.status_code, full.json()["code"]) == (409, "too_many_annotations")
    shown = await texts(api)
    assert (shown[0], shown[-1]) == ("first of all", "model five_stage is being restaged")
    assert len(shown) == MAX_ANNOTATIONS + 2
