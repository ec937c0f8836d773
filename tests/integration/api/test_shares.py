"""Shared links: what one opens, and what it does not."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from services.api.sharing.answers import Shared, Shares
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, Rows
from tests.support.stack import Service, Stack, until
from throughline.kit.clock import now_us
from throughline.store.access.modes import Scope
from throughline.store.access.read_tokens import create_read_token, revoke_read_token
from throughline.store.access.shares import MAX_SHARES
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

QUESTION = "/v1/phases/counts?channel=email&source=web"
VIEW = "#/now?span=28d&channel=email"


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def new_token(stack: Stack, scope: Scope) -> str:
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        token = await create_read_token(connection, stack.workspace, str(scope), scope=scope, now_us=now_us())
    await engine.dispose()
    return token


@pytest.fixture
async def editor(stack: Stack, service: Service, rows: Rows) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the api with a token that shares, of a workspace with a customer."""
    await rows.through(AT_US)
    await rows.count(1, 7, channel="email")
    await rows.customer("ada", [(0, 1)])
    token = await new_token(stack, Scope.EDIT)
    async with httpx.AsyncClient(base_url=service.url, headers=bearer(token), timeout=10) as client:
        yield client


async def share(editor: httpx.AsyncClient, *questions: str, **fields: Any) -> dict[str, Any]:
    body = {"view": VIEW, "questions": questions or [QUESTION], **fields}
    response = await editor.post("/v1/shares", json=body)
    assert response.status_code == 200, response.text
    created: dict[str, Any] = response.json()
    return created


async def test_a_link_opens_its_questions_and_nothing_else(
    editor: httpx.AsyncClient, rows: Rows, service: Service, stack: Stack
) -> None:
    created = await share(editor, QUESTION, "/v1/phases", name="E-mail")
    assert created["token"].startswith(created["hint"])
    assert created["link"] == f"/#/shared/{created['token']}"
    (row,) = await rows.fetch("select * from shares")
    assert created["token"] not in str(dict(row))
    listed = await ok(editor, "/v1/shares", Shares)
    assert listed["items"] == [{name: value for name, value in created.items() if name not in ("token", "link")}]

    async with httpx.AsyncClient(base_url=service.url, headers=bearer(created["token"]), timeout=10) as guest:
        opened = await ok(guest, "/v1/shared", Shared)
        assert (opened["name"], opened["view"], opened["workspace"]) == ("E-mail", VIEW, stack.workspace)
        assert opened["questions"] == [QUESTION, "/v1/phases"]
        counts = (await guest.get(QUESTION)).json()
        assert counts["phases"][0]["now"] == 7
        assert counts["phases"] == (await editor.get(QUESTION)).json()["phases"]
        assert (await guest.get("/v1/phases/counts?source=web&channel=email")).status_code == 200
        assert (await guest.get("/v1/phases/counts.csv?source=%77eb&channel=email")).text.startswith("value,customers,")
        assert (await guest.get("/v1/phases")).status_code == 200
        for other in (
            "/v1/phases/counts", "/v1/phases/counts?channel=email", f"{QUESTION}&source=web", f"{QUESTION}&model=x",
            "/v1/phases?model=seven_phase", "/v1/customers", "/v1/customers/ada/journey", "/v1/journey?customer=ada",
            "/v1/customers/search?text=a", "/v1/phases/counts/stream?channel=email&source=web", "/v1/shares",
            "/v1/annotations", "/v1/events/recent", "/v1/exports", "/v1/rejected",
        ):  # fmt: skip
            answer = await guest.get(other)
            assert (answer.status_code, answer.json()["code"]) == (403, "other_question"), other
        for method, path in (("POST", "/v1/shares"), ("POST", "/v1/annotations"), ("POST", "/v1/exports")):
            answer = await guest.request(method, path, json={"id": "ada"})
            assert (answer.status_code, answer.json()["code"]) == (403, "other_question"), path
        assert (await guest.delete(f"/v1/shares/{created['id']}")).json()["code"] == "other_question"
        session = await guest.post("/v1/session")
        assert (session.status_code, session.json()["code"]) == (403, "other_question")
        await refused(editor, 404, "not_shared", "/v1/shared")

        await rows.execute("update workspaces set min_cell = 10")

        async def is_rounded() -> bool:
            return bool((await guest.get(QUESTION)).json()["phases"][0]["now"] == 0)

        await until(is_rounded, what="small cells to be withheld from the link too")

        revoked = await editor.delete(f"/v1/shares/{created['id']}")
        assert (revoked.status_code, revoked.json()["id"]) == (200, created["id"])

        async def is_refused() -> bool:
            return (await guest.get(QUESTION)).status_code == 401

        await until(is_refused, what="a revoked link to open nothing")
    assert (await editor.delete(f"/v1/shares/{created['id']}")).json()["code"] == "unknown_share"
    actions = [tuple(row) for row in await rows.fetch("select action, arguments->>'share' from audit_log order by id")]
    assert actions == [("share create", str(created["id"])), ("share revoke", str(created["id"]))]


async def test_who_may_share_what(editor: httpx.AsyncClient, api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    body: dict[str, Any] = {"view": VIEW, "questions": [QUESTION]}
    assert (await api.post("/v1/shares", json=body)).json()["code"] == "insufficient_scope"
    assert (await api.delete("/v1/shares/1")).json()["code"] == "insufficient_scope"
    faults: tuple[dict[str, Any], ...] = (
        {"questions": []},
        {"questions": ["/v1/customers"]},
        {"questions": ["/v1/journey?customer=ada"]},
        {"questions": ["/v1/events/recent"]},
        {"questions": ["/v1/phases/../customers"]},
        {"questions": ["http://elsewhere.example/v1/phases"]},
        {"questions": ["/v1/channels?cursor=x"]},
        {"questions": ["/v1/phases?model"]},
        {"questions": [QUESTION] * 65},
        {"questions": [QUESTION + "&channel=x" * 400]},
        {"view": "#/customer/ada"},
        {"view": "https://elsewhere.example"},
        {"view": "#/now?x=\n"},
        {"view": "#/now?" + "x" * 2000},
        {"name": ""},
        {"name": "a\0b"},
        {"expires_in_days": 0},
        {"expires_in_days": 367},
        {"more": 1},
    )
    for wrong in faults:
        response = await editor.post("/v1/shares", json={**body, **wrong})
        assert response.status_code == 400, (wrong, response.text)
        assert response.json()["field"], wrong
    await share(editor, *([QUESTION] * 64), expires_in_days=366)

    # A session of the page shares as its token does; it administers nothing.
    for secret, status in ((await stack.admin_token(), 200), (stack.read_token, 403)):
        async with httpx.AsyncClient(base_url=editor.base_url, timeout=10) as browser:
            await browser.post("/v1/session", headers=bearer(secret))
            assert (await browser.post("/v1/shares", json=body)).status_code == status
            elsewhere = {"Origin": "https://elsewhere.example"}
            assert (await browser.post("/v1/shares", json=body, headers=elsewhere)).status_code == 401
            assert (await browser.post("/v1/exports", json={"id": "ada"})).status_code == 403

    count = int((await rows.fetch("select count(*) from shares"))[0][0])
    for _ in range(MAX_SHARES - count):
        await share(editor)
    full = await editor.post("/v1/shares", json=body)
    assert (full.status_code, full.json()["code"]) == (409, "too_many_shares")
    await rows.execute("update shares set expires_us = 1 where id % 2 = 0")
    created = await share(editor)
    assert (await rows.fetch("select count(*) from shares where expires_us = 1"))[0][0] == 0

    # A link ends with the token that created it.
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        await revoke_read_token(connection, editor.headers["authorization"].partition(" ")[2], now_us=now_us())
    await engine.dispose()

    async def is_refused() -> bool:
        return (await api.get(QUESTION, headers=bearer(created["token"]))).status_code == 401

    await until(is_refused, what="the link to end with its token")
    assert len((await ok(api, "/v1/shares", Shares))["items"]) <= 1  # that of the office's session
