"""The unmodified `@segment/analytics-node` against a real ingest."""

import asyncio
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Topics
from tests.stack import Stack
from tests.topic import read_touchpoints
from throughline.kit.settings import base_environment
from throughline.local import LocalKafka

PROJECT = Path(__file__).parent / "node"
INSTALL_SECONDS = 180.0
SEND_SECONDS = 60.0
EVENTS = 250

# In CI a missing Node is a failure, elsewhere it is not everybody's.
pytestmark = pytest.mark.skipif(
    shutil.which("npm") is None and not base_environment().get("CI"), reason="Node is not installed"
)


async def command(*arguments: str, folder: Path, seconds: float) -> str:
    process = await asyncio.create_subprocess_exec(
        *arguments, cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(seconds):
        out, errors = await process.communicate()
    assert process.returncode == 0, f"{arguments}: {errors.decode()}{out.decode()}"
    return out.decode()


@pytest.fixture(scope="module")
async def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The script with its locked packages, installed in a folder of its own."""
    folder = tmp_path_factory.mktemp("node")
    for name in ("package.json", "package-lock.json", ".npmrc", "send.mjs"):
        shutil.copy(PROJECT / name, folder / name)
    await command("npm", "ci", "--prefer-offline", folder=folder, seconds=INSTALL_SECONDS)
    return folder


async def test_every_event_arrives_once(
    node_project: Path, kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path
) -> None:
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    try:
        ingest = await stack.start("ingest")
        said = await command(
            "node",
            "send.mjs",
            ingest.url,
            stack.write_key,
            str(EVENTS),
            folder=node_project,
            seconds=SEND_SECONDS,
        )
        result: dict[str, Any] = json.loads(said)
        assert result == {"count": EVENTS, "requests": result["requests"], "delivered": EVENTS, "errors": []}
        touchpoints = await read_touchpoints(kafka.bootstrap, topics.touchpoints)
    finally:
        await stack.stop()
    assert sorted(t.message_id for t in touchpoints) == [f"node-message-{n:06d}" for n in range(EVENTS)]
    assert Counter(t.call for t in touchpoints) == {"identify": 1, "page": 1, "track": EVENTS - 2}
    assert {t.actor for t in touchpoints} == {f"node-{n}" for n in range(1, 6)}
    assert all(not t.warnings for t in touchpoints)
