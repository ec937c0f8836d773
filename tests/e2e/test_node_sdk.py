"""The unmodified `@segment/analytics-node` against a real ingest."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from tests.conftest import Topics
from tests.e2e.conftest import run
from tests.support.stack import Stack
from tests.support.topic import read_touchpoints
from throughline.local import LocalKafka

SEND_SECONDS = 60.0
EVENTS = 250


async def test_every_event_arrives_once(
    node_project: Path, kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path
) -> None:
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    try:
        ingest = await stack.start("ingest")
        output = await run(
            "node",
            "send.mjs",
            ingest.url,
            stack.write_key,
            str(EVENTS),
            folder=node_project,
            seconds=SEND_SECONDS,
        )
        result: dict[str, Any] = json.loads(output)
        assert result == {"count": EVENTS, "requests": result["requests"], "delivered": EVENTS, "errors": []}
        touchpoints = await read_touchpoints(kafka.bootstrap, topics.touchpoints)
    finally:
        await stack.stop()
    assert sorted(t.message_id for t in touchpoints) == [f"node-message-{n:06d}" for n in range(EVENTS)]
    assert Counter(t.call for t in touchpoints) == {"identify": 1, "page": 1, "track": EVENTS - 2}
    assert {t.actor for t in touchpoints} == {f"node-{n}" for n in range(1, 6)}
    assert all(not t.warnings for t in touchpoints)
