"""The unmodified posthog for Python and posthog-node: every event once, whatever fault occurs."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from posthog import Posthog

from tests.e2e.clients.conftest import Edge, rest_value
from tests.e2e.clients.faults import Fault, every_fault
from tests.e2e.conftest import run
from throughline.journey.touchpoint import Touchpoint

EVENTS = 60
SECONDS = 120.0
MODES = pytest.mark.parametrize("mode", ["v0", "v1"])


def send(edge: Edge, mode: str) -> None:
    errors: list[Exception] = []

    def failed(error: Exception, _: Any) -> None:
        errors.append(error)

    # The default, three retries, ends after seven seconds.
    client = Posthog(
        edge.write_key, host=edge.url, capture_mode=mode, flush_at=10, max_retries=10, on_error=failed, gzip=True
    )
    for number in range(3, EVENTS):
        client.capture("Product Viewed", distinct_id="ada", properties={"product_id": f"p-{number}"})
    client.set(distinct_id="ada", properties={"plan": "gold"})
    client.alias("anon-ben", "ben")
    client.group_identify("company", "acme", {"size": 3}, distinct_id="ada")
    client.shutdown()
    assert errors == []


def check(touchpoints: list[Touchpoint]) -> None:
    assert {t.product_id for t in touchpoints if t.call == "track"} == {f"p-{n}" for n in range(3, EVENTS)}
    assert [(t.user_id, t.previous_id) for t in touchpoints if t.call == "alias"] == [("ben", "anon-ben")]
    assert [(t.user_id, rest_value(t, "groupId")) for t in touchpoints if t.call == "group"] == [("ada", "acme")]
    (person,) = [t for t in touchpoints if t.call == "identify"]
    assert (person.user_id, rest_value(person, "traits", "plan")) == ("ada", "gold")
    assert all(not t.warnings for t in touchpoints)


@MODES
@every_fault
async def test_python(edge: Edge, mode: str, fault: Fault) -> None:
    fault(edge.proxy)
    await asyncio.to_thread(send, edge, mode)
    check(await edge.arrived(EVENTS))


@MODES
@every_fault
async def test_node(edge: Edge, node_project: Path, mode: str, fault: Fault) -> None:
    fault(edge.proxy)
    environment = {"HOST": edge.url, "WRITE_KEY": edge.write_key, "POSTHOG_CAPTURE_MODE": mode}
    printed = await run("node", "posthog.mjs", str(EVENTS), folder=node_project, seconds=SECONDS, **environment)
    assert json.loads(printed) == []
    touchpoints = await edge.arrived(EVENTS)
    check(touchpoints)
    assert [t.anonymous_id for t in touchpoints if t.call == "identify"] == ["anon-ada"]
