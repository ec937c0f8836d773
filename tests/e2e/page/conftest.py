"""The page in a real browser, over a real api and database.

One browser of a process, one api and one database of a module; each test has a workspace of its own.
"""

import dataclasses
import secrets
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.conftest import execute
from tests.e2e.conftest import installed
from tests.support.folded import write_folded
from tests.support.quarter import customers
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from throughline.kit.clock import now_us
from throughline.local import LocalPostgres
from throughline.store.access.page_sessions import create_page_code, page_link
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import transaction

HOSTILE = "<img src=x onerror=\"document.title='owned'\">/../%2F?&#\u202eü"
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]

expect.set_options(timeout=20_000)  # a busy machine is slow, not wrong


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """A real browser."""
    executable = shutil.which("chromium") or "/usr/bin/chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        yield browser
        await browser.close()


@pytest.fixture(scope="session")
async def faults_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Page], Awaitable[list[str]]]:
    """What axe finds wrong in a page: nothing, or each fault with the elements that have it."""
    folder = await installed(Path(__file__).parent / "axe", tmp_path_factory.mktemp("axe"))
    axe = (folder / "node_modules" / "axe-core" / "axe.min.js").read_text()

    async def find(page: Page) -> list[str]:
        if not await page.evaluate("Boolean(window.axe)"):
            await page.evaluate(axe)
        result = await page.evaluate("axe.run({ resultTypes: ['violations'] })")
        return [
            f"{fault['id']}: {node['html'][:200]} {node['failureSummary']}"
            for fault in result["violations"]
            for node in fault["nodes"]
        ]

    return find


@pytest.fixture(scope="module")
async def module_stack(
    postgres: LocalPostgres, template: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Stack]:
    """An api over a database, for all tests of a module."""
    name = f"page_{secrets.token_hex(6)}"
    await execute(postgres.url, f"create database {name} template {template}")
    folder = tmp_path_factory.mktemp("page")
    stack = Stack("127.0.0.1:1", postgres.url_of(name), "touchpoints", "touchpoints.rejected", folder)
    await stack.start("api")
    yield stack
    await stack.stop()
    await execute(postgres.url, f"drop database {name} with (force)")


@pytest.fixture
async def stack(module_stack: Stack) -> AsyncIterator[Stack]:
    """A workspace of this test; what the test itself starts is stopped afterwards."""
    stack = dataclasses.replace(module_stack, workspace=f"shop-{secrets.token_hex(4)}", services=[])
    await stack.provision()
    yield stack
    await stack.stop()


@pytest.fixture
async def rows(stack: Stack) -> AsyncIterator[Rows]:
    """Rows of this test's workspace; all that was sent is in them."""
    async with Rows(stack.database, stack.workspace_id) as rows:
        await rows.through(now_us())
        yield rows


@pytest.fixture
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A page on which the browser may complain about nothing: no script error, no breach of the content policy."""
    page = await browser.new_page(locale="en-GB", timezone_id="UTC")
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    yield page
    # A refused token, an unknown customer, a busy or absent service is an error to the browser's console only.
    assert [text for text in complaints if not any(code in text for code in ("401", "403", "404", "503", "ERR_"))] == []
    await page.close()


@pytest.fixture
def server(module_stack: Stack) -> Service:
    """The api, in which nobody has a session."""
    return module_stack.services[0]


@pytest.fixture
async def service(server: Service, stack: Stack, page: Page) -> Service:
    """The api, in which the page has a session."""
    await enter(page, server, stack)
    return server


async def shop_of(module_stack: Stack, workspace: str, number: int) -> Stack:
    """A workspace with so many customers of a quarter of a shop, for tests that change nothing of it."""
    stack = dataclasses.replace(module_stack, workspace=workspace, services=[])
    await stack.provision()
    connection = await asyncpg.connect(stack.database)
    async with Rows(stack.database, stack.workspace_id) as rows:
        await write_folded(
            connection,
            customers(number, stack.workspace_id, rows.source, now_us()),
            workspace=stack.workspace_id,
            model=rows.model,
            topic=stack.touchpoints,
            now_us=now_us(),
        )
    await connection.close()
    return stack


async def enter(page: Page, service: Service, stack: Stack) -> None:
    """Open a session of the workspace."""
    headers = {"Authorization": f"Bearer {stack.read_token}"}
    assert (await page.request.post(f"{service.url}/v1/session", headers=headers)).status == 204


async def link_to(service: Service, stack: Stack) -> str:
    """A link that opens the page once."""
    engine = create_engine(stack.database)
    async with transaction(engine) as connection:
        code = await create_page_code(connection, stack.read_token, now_us=now_us())
    await engine.dispose()
    return page_link(service.url, code.code)


def now_in(phase: str) -> str:
    """Where the number of customers in a phase stands."""
    return f'tr[data-phase="{phase}"] .now'
