"""The unmodified segment-analytics-python and rudder-sdk-python: every event once, whatever fault occurs."""

import asyncio
from typing import Any

import pytest
from rudderstack.analytics.client import Client as RudderStack
from segment.analytics.client import Client as Segment

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import Fault, every_fault

EVENTS = 120


def send(library: Any, edge: Edge) -> None:
    errors: list[Exception] = []
    client = library(edge.write_key, host=edge.url, upload_size=20, on_error=lambda error, _: errors.append(error))
    client.identify("ada", {"plan": "gold"}, anonymous_id="anon-ada")
    for number in range(EVENTS - 2):
        client.track("ada", "Product Viewed", {"product_id": f"p-{number}"})
    client.alias("anon-ben", "ben")
    client.shutdown()
    assert errors == []


@pytest.mark.parametrize("library", [Segment, RudderStack], ids=["segment", "rudderstack"])
@every_fault
async def test_every_event_once(edge: Edge, library: Any, fault: Fault) -> None:
    fault(edge.proxy)
    await asyncio.to_thread(send, library, edge)
    touchpoints = await edge.arrived(EVENTS)
    assert sum(t.call == "track" for t in touchpoints) == EVENTS - 2
    assert [t.user_id for t in touchpoints if t.previous_id == "anon-ben"] == ["ben"]
    assert all(not t.warnings for t in touchpoints)
