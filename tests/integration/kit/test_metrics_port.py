"""`/metrics` on a port of its own: nowhere else, and nothing else there."""

import re

import httpx
import pytest

from tests.support.stack import Stack, until
from throughline.local import free_port


@pytest.mark.parametrize("name", ["ingest", "stager", "api"])
async def test_metrics_are_on_their_port_only(stack: Stack, name: str) -> None:
    port = free_port()
    service = await stack.start(name, METRICS_PORT=str(port), WORKERS="2")
    metrics = f"http://127.0.0.1:{port}"
    async with httpx.AsyncClient(timeout=10) as client:
        assert (await client.get(f"{service.url}/healthz")).status_code == 200
        assert (await client.get(f"{service.url}/metrics")).status_code == 404
        for _ in range(4):
            answer = await client.get(f"{metrics}/metrics")
            assert answer.status_code == 200
            services = set(re.findall(r"^throughline_(ingest|stager|api)_", answer.text, re.MULTILINE))
            assert services == {name}, "a service tells of itself only"
            assert re.search(rf'^throughline_build_info{{.*service="{name}".*version="\d', answer.text, re.MULTILINE)
            assert re.search(rf'^throughline_ready{{.*service="{name}"', answer.text, re.MULTILINE)
            (memory,) = re.findall(r"^process_resident_memory_bytes (\S+)$", answer.text, re.MULTILINE)
            assert float(memory) > 30e6
        for path in ("/", "/healthz", "/v1/phases/counts", "/docs"):
            assert (await client.get(metrics + path)).status_code == 404
        if name == "ingest":
            event = {"type": "track", "userId": "u", "event": "E", "messageId": "m"}
            for number in range(6):
                sent = await client.post(
                    f"{service.url}/v1/track", json={**event, "messageId": f"m{number}"}, auth=(stack.write_key, "")
                )
                assert sent.status_code == 200

            async def all_counted() -> bool:
                # Whichever worker answers, the sum is over both.
                text = (await client.get(f"{metrics}/metrics", headers={"Connection": "close"})).text
                counted = [line for line in text.splitlines() if line.startswith("throughline_ingest_events_total{")]
                return sum(float(line.rpartition(" ")[2]) for line in counted) == 6

            for _ in range(4):
                await until(all_counted, what="six events")
    assert await _ends(stack)


async def _ends(stack: Stack) -> bool:
    """Whether a told service ends in good order, its second port with it."""
    service = stack.services[-1]
    await service.child.stop()
    return await service.child.wait() == 0


async def test_a_port_that_is_taken_is_named(stack: Stack) -> None:
    first = await stack.start("api")
    port = first.url.rpartition(":")[2]
    second = await stack.start("api", ready=False, METRICS_PORT=port)
    assert await second.child.wait() != 0
    assert "METRICS_PORT" in second.child.tail(50)
