"""Whatever strangers send at once, and however long Kafka is away: a worker stays within its manifest's limit."""

import asyncio
import contextlib
import json
import os
import signal
from pathlib import Path
from typing import Any

import psutil
import yaml

from tests.support.stack import Stack
from tests.support.wire import Wire
from throughline.local import LocalKafka

MANIFEST = Path(__file__).parents[3] / "deploy" / "kubernetes" / "base" / "ingest.yaml"
BODIES = 500
BATCHES = 300
MB = 1024 * 1024


def manifests_limit() -> int:
    """The bytes that a container of ingest may have."""
    (deployment,) = (each for each in yaml.safe_load_all(MANIFEST.read_text()) if each["kind"] == "Deployment")
    memory: str = deployment["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"]
    assert memory.endswith("Mi")
    return int(memory.removesuffix("Mi")) * MB


async def test_a_worker_fits_its_manifests_limit(stack: Stack, kafka: LocalKafka) -> None:
    """Unfinished bodies from strangers, and batches with a key that a stopped Kafka does not acknowledge."""
    ingest = await stack.start("ingest", RATE_LIMIT_EVENTS="0", ACK_SECONDS="6", QUEUE_EVENTS="1000000")
    process = psutil.Process(ingest.child.pid)
    largest = process.memory_info().rss
    event: dict[str, Any] = {"type": "track", "event": "E", "userId": "u", "properties": {"text": "x" * 2_000}}
    body = json.dumps({"batch": [event | {"userId": f"u{number}"} for number in range(220)]}).encode()
    request = f"POST /v1/batch HTTP/1.1\r\nHost: x\r\nAuthorization: {stack.write_key}\r\nContent-Length: "
    stranger = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n"
    os.kill(kafka.pid, signal.SIGSTOP)
    try:
        async with contextlib.AsyncExitStack() as wires:

            async def send(data: bytes) -> None:
                wire = await wires.enter_async_context(Wire(ingest))
                with contextlib.suppress(ConnectionError, TimeoutError):
                    async with asyncio.timeout(10):
                        await wire.send(data)

            for number in range(max(BODIES, BATCHES)):
                if number < BODIES:
                    await send(stranger + bytes(450_000))
                if number < BATCHES:
                    await send(f"{request}{len(body)}\r\n\r\n".encode() + body)
                largest = max(largest, process.memory_info().rss)
            for _ in range(20):
                await asyncio.sleep(0.1)
                largest = max(largest, process.memory_info().rss)
    finally:
        os.kill(kafka.pid, signal.SIGCONT)
    print(f"{largest / MB:.0f} MiB at most")
    assert largest < manifests_limit()
    assert "unavailable" in str(await ingest.metrics())
    await ingest.ready()
