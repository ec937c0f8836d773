"""The snippets of docs/sdks.md, run unchanged against a real ingest."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Topics
from tests.support.sdks_doc import blocks
from tests.support.stack import ENCRYPTION_KEY, Stack, until
from tests.support.topic import read_touchpoints
from throughline.kit.settings import base_environment
from throughline.local import LocalKafka

ROOT = Path(__file__).parents[2]
SECONDS = 180.0
PATH = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
"""With `throughline` on it, as `make run` says."""


@pytest.fixture
async def stack(kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Stack]:
    running = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await running.provision()
    try:
        await running.start("ingest")
        yield running
    finally:
        await running.stop()


async def execute(stack: Stack, *arguments: str, folder: Path = ROOT, **more: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env=base_environment() | {"INGEST": stack.services[0].url, "WRITE_KEY": stack.write_key, "PATH": PATH} | more,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def names(stack: Stack) -> list[tuple[str, str, str]]:
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    return sorted((t.actor, t.name, t.order_id) for t in touchpoints)


async def test_curl(stack: Stack) -> None:
    single, batch = [await execute(stack, "bash", "-c", block) for block in blocks("curl", "sh")]
    assert '"verdict":"ok"' in single
    assert '"accepted":2,"rejected":1' in batch
    assert await names(stack) == [
        ("ada", "Order Completed", "A-1001"),
        ("ada", "Product Added", ""),
        ("ada", "Product Viewed", ""),
    ]


async def test_python(stack: Stack) -> None:
    (block,) = blocks("Python", "python")
    await execute(stack, sys.executable, "-c", block)
    assert await names(stack) == [("ben", "Order Completed", "A-1002")]


async def test_node(stack: Stack, node_project: Path) -> None:
    (block,) = blocks("Node", "js")
    (node_project / "snippet.mjs").write_text(block)
    await execute(stack, "node", "snippet.mjs", folder=node_project)
    assert await names(stack) == [("cleo", "Product Reviewed", "")]


ORDERS = {
    "Snowplow": [("dina", "Home", ""), ("dina", "transaction", "A-1004")],
    "CloudEvents": [("hana", "order_completed", "A-1006")],
    "PostHog": [("jana", "Order Completed", "A-1008")],
    "RudderStack": [("nils", "Order Completed", "A-1009")],
}


@pytest.mark.parametrize("section", ORDERS)
async def test_python_of_others(stack: Stack, section: str) -> None:
    (block,) = blocks(section, "python")
    await execute(stack, sys.executable, "-c", block)
    assert await names(stack) == ORDERS[section]


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("Snowplow", ("emil", "Home", "")),
        ("CloudEvents", ("ivo", "order_completed", "A-1007")),
        ("PostHog", ("kai", "Product Reviewed", "")),
        ("RudderStack", ("olga", "Product Reviewed", "")),
        ("Jitsu", ("rosa", "Product Reviewed", "")),
    ],
)
async def test_node_of_others(stack: Stack, node_project: Path, section: str, expected: tuple[str, str, str]) -> None:
    block = blocks(section, "js")[0]
    (node_project / "snippet.mjs").write_text(block)
    await execute(stack, "node", "snippet.mjs", folder=node_project)
    assert await names(stack) == [expected]


async def test_ga4(stack: Stack) -> None:
    (block,) = blocks("GA4 Measurement Protocol", "sh")
    for _ in range(2):
        assert '"accepted":1,"rejected":0' in await execute(stack, "bash", "-c", block)
    first, again = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert (first.actor, first.name, first.order_id) == ("gil", "purchase", "A-1005")
    assert first.message_id == again.message_id


async def test_shopify(stack: Stack) -> None:
    setup, block = blocks("Shopify", "sh")
    commands = re.sub(r"\blocal\b", stack.workspace, setup) + 'echo "$SHOPIFY_KEY"\n'
    printed = await execute(
        stack, "bash", "-e", "-c", commands, DATABASE_URL=stack.database, ENCRYPTION_KEYS=ENCRYPTION_KEY
    )
    key = printed.split()[-1]
    secret = commands.partition("SHOPIFY_SECRET=")[2].partition("\n")[0]
    answer = ""

    async def accepted() -> bool:
        nonlocal answer
        answer = await execute(stack, "bash", "-c", block, SHOPIFY_SECRET=secret, SHOPIFY_KEY=key)
        return '"success":true' in answer

    await until(accepted, seconds=20, what=lambda: f"the secret to be known to ingest, not {answer}")
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert {(t.actor, t.name, t.order_id, t.value) for t in touchpoints} == {("77", "orders/create", "1011", 59.9)}
    assert touchpoints[0].channel == "email"


async def test_a_till(stack: Stack) -> None:
    (block,) = blocks("A till", "sh")
    for _ in range(2):
        assert '"accepted":2,"rejected":1' in await execute(stack, "bash", "-c", block)
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert {(t.actor, t.order_id, t.value, t.currency, t.channel) for t in touchpoints} == {
        ("ada", "G-1-0041", 42.5, "EUR", "store"),
        ("ben", "G-1-0042", 9.9, "EUR", "store"),
    }
    assert len({t.message_id for t in touchpoints}) == 2
