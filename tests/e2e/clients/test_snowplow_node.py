"""The unmodified @snowplow/node-tracker: every event once, whatever fault occurs."""

from pathlib import Path

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import Fault, every_fault

EVENTS = 120


@every_fault
async def test_every_event_once(edge: Edge, node_project: Path, fault: Fault) -> None:
    fault(edge.proxy)
    await edge.node(node_project, "snowplow.mjs", str(EVENTS))
    touchpoints = await edge.arrived(EVENTS)
    assert {(t.user_id, t.anonymous_id) for t in touchpoints} == {("cleo", "browser-2")}
    assert sum(t.call == "page" for t in touchpoints) == EVENTS - 2
    (order,) = [t for t in touchpoints if t.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-3", 54.9, "EUR", "LACE")
