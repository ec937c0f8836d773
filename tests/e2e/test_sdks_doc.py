"""The snippets of docs/sdks.md, run as they are written, against a real ingest."""

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.conftest import Topics
from tests.stack import Stack
from tests.topic import read_touchpoints
from throughline.kit.settings import base_environment
from throughline.local import LocalKafka

ROOT = Path(__file__).parents[2]
SECONDS = 180.0
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
BLOCKS = BLOCK.findall((ROOT / "docs" / "sdks.md").read_text())


def blocks(language: str, starting: str = "") -> list[str]:
    found = [text for name, text in BLOCKS if name == language and text.startswith(starting)]
    assert found, f"docs/sdks.md has no {language} block"
    return found


@pytest.fixture
async def stack(kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Stack]:
    running = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await running.provision()
    try:
        await running.start("ingest")
        yield running
    finally:
        await running.stop()


async def execute(stack: Stack, *arguments: str, folder: Path = ROOT) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env=base_environment() | {"INGEST": stack.services[0].url, "WRITE_KEY": stack.write_key},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(SECONDS):
        out, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def names(stack: Stack) -> list[tuple[str, str, str]]:
    found = await read_touchpoints(stack.kafka, stack.touchpoints)
    return sorted((t.actor, t.name, t.order_id) for t in found)


async def test_curl(stack: Stack) -> None:
    one, batch = [await execute(stack, "bash", "-c", block) for block in blocks("sh", "curl")]
    assert '"verdict":"ok"' in one
    assert '"accepted":2,"rejected":1' in batch
    assert await names(stack) == [
        ("ada", "Order Completed", "A-1001"),
        ("ada", "Product Added", ""),
        ("ada", "Product Viewed", ""),
    ]


async def test_python(stack: Stack) -> None:
    (block,) = blocks("python")
    await execute(stack, sys.executable, "-c", block)
    assert await names(stack) == [("ben", "Order Completed", "A-1002")]


async def test_node(stack: Stack, node_project: Path) -> None:
    (block,) = blocks("js")
    (node_project / "snippet.mjs").write_text(block)
    await execute(stack, "node", "snippet.mjs", folder=node_project)
    assert await names(stack) == [("cleo", "Product Reviewed", "")]
