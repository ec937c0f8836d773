"""The unmodified rudder-sdk-python: every event once, whatever is in the way."""

import asyncio

from rudderstack.analytics.client import Client

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.troubles import Trouble, every_trouble

EVENTS = 120


def send(edge: Edge) -> None:
    errors: list[Exception] = []
    client = Client(edge.write_key, host=edge.url, upload_size=20, on_error=lambda error, _: errors.append(error))
    client.identify("ada", {"plan": "gold"}, anonymous_id="anon-ada")
    for number in range(EVENTS - 2):
        client.track("ada", "Product Viewed", {"product_id": f"p-{number}"})
    client.alias("anon-ben", "ben")
    client.shutdown()
    assert errors == []


@every_trouble
async def test_every_event_once(edge: Edge, trouble: Trouble) -> None:
    trouble(edge.fault)
    await asyncio.to_thread(send, edge)
    facts = await edge.arrived(EVENTS)
    assert sum(fact.call == "track" for fact in facts) == EVENTS - 2
    assert [fact.user_id for fact in facts if fact.previous_id == "anon-ben"] == ["ben"]
    assert all(not fact.warnings for fact in facts)
