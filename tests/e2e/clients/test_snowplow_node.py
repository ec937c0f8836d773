"""The unmodified @snowplow/node-tracker: every event once, whatever is in the way."""

from pathlib import Path

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.troubles import Trouble, every_trouble

EVENTS = 120


@every_trouble
async def test_every_event_once(edge: Edge, node_project: Path, trouble: Trouble) -> None:
    trouble(edge.fault)
    await edge.node(node_project, "snowplow.mjs", str(EVENTS))
    facts = await edge.arrived(EVENTS)
    assert {(fact.user_id, fact.anonymous_id) for fact in facts} == {("cleo", "browser-2")}
    assert sum(fact.call == "page" for fact in facts) == EVENTS - 2
    (order,) = [fact for fact in facts if fact.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-3", 54.9, "EUR", "LACE")
