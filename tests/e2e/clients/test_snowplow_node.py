"""The unmodified @snowplow/node-tracker: every event once, whatever is in the way."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.clients.conftest import Edge
from tests.e2e.fault import Fault

EVENTS = 120


@pytest.mark.parametrize(
    "trouble",
    [lambda fault: None, lambda fault: fault.refuse(10), lambda fault: fault.drop(3)],
    ids=["healthy", "refused", "dropped"],
)
async def test_every_event_once(edge: Edge, node_project: Path, trouble: Callable[[Fault], None]) -> None:
    trouble(edge.fault)
    await edge.node(node_project, "snowplow.mjs", str(EVENTS))
    facts = await edge.arrived(EVENTS)
    assert {(fact.user_id, fact.anonymous_id) for fact in facts} == {("cleo", "browser-2")}
    assert sum(fact.call == "page" for fact in facts) == EVENTS - 2
    (order,) = [fact for fact in facts if fact.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-3", 54.9, "EUR", "LACE")
