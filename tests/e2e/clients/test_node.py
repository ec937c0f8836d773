"""Unmodified server-side SDKs of Segment, RudderStack and Jitsu in Node: every event once, whatever is in the way."""

import json
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.troubles import REFUSED_SECONDS, Trouble, every_trouble

EVENTS = 100


@pytest.mark.parametrize("script", ["segment.mjs", "rudder.mjs"])
@every_trouble
async def test_every_event_once(edge: Edge, node_project: Path, script: str, trouble: Trouble) -> None:
    trouble(edge.fault)
    errors = json.loads(await edge.node(node_project, script, str(EVENTS)))
    assert errors == []
    facts = await edge.arrived(EVENTS)
    assert {fact.product_id for fact in facts if fact.call == "track"} == {f"p-{n}" for n in range(1, EVENTS)}
    assert {(fact.user_id, fact.anonymous_id) for fact in facts if fact.call == "identify"} == {("ada", "anon-ada")}
    assert all(not fact.warnings for fact in facts)


async def test_jitsu(edge: Edge, node_project: Path) -> None:
    errors = json.loads(await edge.node(node_project, "jitsu.mjs", str(EVENTS)))
    assert errors == []
    facts = await edge.arrived(EVENTS)
    assert {fact.product_id for fact in facts if fact.call == "track"} == {f"p-{n}" for n in range(1, EVENTS)}
    assert all(not fact.warnings for fact in facts)


async def test_jitsu_never_sends_again(edge: Edge, node_project: Path) -> None:
    """What it is refused is lost, and it says so: nothing on this side can change that."""
    edge.fault.refuse(REFUSED_SECONDS)
    errors = json.loads(await edge.node(node_project, "jitsu.mjs", "3"))
    assert len(errors) == 3
    assert edge.fault.refused == 3
    assert await edge.facts() == []


async def test_jitsu_answers_lost(edge: Edge, node_project: Path) -> None:
    edge.fault.drop(1)
    await edge.node(node_project, "jitsu.mjs", "5")
    await edge.arrived(5)
