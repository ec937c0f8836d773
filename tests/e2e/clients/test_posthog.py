"""The unmodified posthog for Python and posthog-node: every event once, whatever is in the way."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from posthog import Posthog

from tests.e2e.clients.conftest import Edge, inside
from tests.e2e.clients.troubles import Trouble, every_trouble
from tests.e2e.conftest import run
from throughline.journey.touchpoint import Touchpoint

EVENTS = 60
SECONDS = 120.0
MODES = pytest.mark.parametrize("mode", ["v0", "v1"])


def send(edge: Edge, mode: str) -> None:
    errors: list[Exception] = []

    def failed(error: Exception, _: Any) -> None:
        errors.append(error)

    # Three more tries by default, seven seconds in all.
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


def check(facts: list[Touchpoint]) -> None:
    assert {fact.product_id for fact in facts if fact.call == "track"} == {f"p-{n}" for n in range(3, EVENTS)}
    assert [(fact.user_id, fact.previous_id) for fact in facts if fact.call == "alias"] == [("ben", "anon-ben")]
    assert [(fact.user_id, inside(fact, "groupId")) for fact in facts if fact.call == "group"] == [("ada", "acme")]
    (person,) = [fact for fact in facts if fact.call == "identify"]
    assert (person.user_id, inside(person, "traits", "plan")) == ("ada", "gold")
    assert all(not fact.warnings for fact in facts)


@MODES
@every_trouble
async def test_python(edge: Edge, mode: str, trouble: Trouble) -> None:
    trouble(edge.fault)
    await asyncio.to_thread(send, edge, mode)
    check(await edge.arrived(EVENTS))


@MODES
@every_trouble
async def test_node(edge: Edge, node_project: Path, mode: str, trouble: Trouble) -> None:
    trouble(edge.fault)
    environment = {"HOST": edge.url, "WRITE_KEY": edge.write_key, "POSTHOG_CAPTURE_MODE": mode}
    printed = await run("node", "posthog.mjs", str(EVENTS), folder=node_project, seconds=SECONDS, **environment)
    assert json.loads(printed) == []
    facts = await edge.arrived(EVENTS)
    check(facts)
    assert [fact.anonymous_id for fact in facts if fact.call == "identify"] == ["anon-ada"]
