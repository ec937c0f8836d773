"""Unmodified server-side SDKs of Segment, RudderStack and Jitsu in Node: every event once, whatever fault occurs."""

import json
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import REFUSED_SECONDS, Fault, every_fault

EVENTS = 100


@pytest.mark.parametrize("script", ["segment.mjs", "rudder.mjs"])
@every_fault
async def test_every_event_once(edge: Edge, node_project: Path, script: str, fault: Fault) -> None:
    fault(edge.proxy)
    errors = json.loads(await edge.node(node_project, script, str(EVENTS)))
    assert errors == []
    touchpoints = await edge.arrived(EVENTS)
    assert {t.product_id for t in touchpoints if t.call == "track"} == {f"p-{n}" for n in range(1, EVENTS)}
    assert {(t.user_id, t.anonymous_id) for t in touchpoints if t.call == "identify"} == {("ada", "anon-ada")}
    assert all(not t.warnings for t in touchpoints)


async def test_jitsu(edge: Edge, node_project: Path) -> None:
    errors = json.loads(await edge.node(node_project, "jitsu.mjs", str(EVENTS)))
    assert errors == []
    touchpoints = await edge.arrived(EVENTS)
    assert {t.product_id for t in touchpoints if t.call == "track"} == {f"p-{n}" for n in range(1, EVENTS)}
    assert all(not t.warnings for t in touchpoints)


async def test_jitsu_never_sends_again(edge: Edge, node_project: Path) -> None:
    """Jitsu does not send refused events again, and reports errors: ingest cannot change that."""
    edge.proxy.refuse(REFUSED_SECONDS)
    errors = json.loads(await edge.node(node_project, "jitsu.mjs", "3"))
    assert len(errors) == 3
    assert edge.proxy.refused == 3
    assert await edge.touchpoints() == []


async def test_jitsu_answers_lost(edge: Edge, node_project: Path) -> None:
    edge.proxy.drop(1)
    await edge.node(node_project, "jitsu.mjs", "5")
    await edge.arrived(5)
