"""The unmodified CloudEvents SDKs of Python and JavaScript: every event once, whatever fault occurs.

The SDKs build messages. Their user sends and sends again: here `requests` with urllib3's retries, and Node's `fetch`.
"""

import asyncio
from pathlib import Path

import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.e2e.clients.conftest import Edge, rest_value
from tests.e2e.clients.faults import Fault, every_fault

EVENTS = 30


def send(edge: Edge, customer: str) -> None:
    retries = Retry(total=30, status_forcelist=[429, 503], allowed_methods=None, backoff_factor=0.1)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retries))
    session.headers["Authorization"] = f"Bearer {edge.write_key}"
    for number in range(EVENTS):
        attributes = {
            "specversion": "1.0",
            "id": f"order-{number}",
            "source": "https://shop.example/orders",
            "type": "com.example.shop.order.completed",
            "subject": customer,
            "datacontenttype": "application/json",
            "note": 'Größe 42, "mid" 100%',
        }
        event = CloudEvent(attributes, {"order_id": f"A-{number}", "total": 54.9, "currency": "EUR"})
        message = (to_binary_event if number % 2 else to_structured_event)(event)
        url = f"{edge.url}/v1/cloudevents"
        session.post(url, data=message.body, headers=message.headers, timeout=30).raise_for_status()


async def check(edge: Edge, actor: str) -> None:
    touchpoints = await edge.arrived(EVENTS)
    assert {(t.actor, t.name, t.value) for t in touchpoints} == {(actor, "order_completed", 54.9)}
    assert {t.order_id for t in touchpoints} == {f"A-{number}" for number in range(EVENTS)}


@every_fault
async def test_python(edge: Edge, fault: Fault) -> None:
    fault(edge.proxy)
    customer = f"fen-{edge.source}"  # event ids are the same in every test, and an id of one customer counts once
    await asyncio.to_thread(send, edge, customer)
    await check(edge, customer)
    assert {rest_value(t, "cloudevents", "note") for t in await edge.touchpoints()} == {'Größe 42, "mid" 100%'}


@every_fault
async def test_node(edge: Edge, node_project: Path, fault: Fault) -> None:
    fault(edge.proxy)
    customer = f"eva-{edge.source}"
    await edge.node(node_project, "cloudevents.mjs", str(EVENTS), customer)
    await check(edge, customer)
