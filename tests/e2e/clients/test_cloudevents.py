"""The unmodified CloudEvents SDKs of Python and JavaScript: every event once, whatever is in the way.

They make messages; sending and trying again is their user's, here `requests` with urllib3's retries and Node's `fetch`.
"""

import asyncio
from pathlib import Path

import requests
from cloudevents.core.bindings.http import to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.e2e.clients.conftest import Edge, inside
from tests.e2e.clients.troubles import Trouble, every_trouble

EVENTS = 30


def send(edge: Edge, customer: str) -> None:
    again = Retry(total=30, status_forcelist=[429, 503], allowed_methods=None, backoff_factor=0.1)
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=again))
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
    facts = await edge.arrived(EVENTS)
    assert {(fact.actor, fact.name, fact.value) for fact in facts} == {(actor, "order_completed", 54.9)}
    assert {fact.order_id for fact in facts} == {f"A-{number}" for number in range(EVENTS)}


@every_trouble
async def test_python(edge: Edge, trouble: Trouble) -> None:
    trouble(edge.fault)
    customer = f"fen-{edge.source}"  # event ids are the same in every test, and an id of one customer counts once
    await asyncio.to_thread(send, edge, customer)
    await check(edge, customer)
    assert {inside(fact, "cloudevents", "note") for fact in await edge.facts()} == {'Größe 42, "mid" 100%'}


@every_trouble
async def test_node(edge: Edge, node_project: Path, trouble: Trouble) -> None:
    trouble(edge.fault)
    customer = f"eva-{edge.source}"
    await edge.node(node_project, "cloudevents.mjs", str(EVENTS), customer)
    await check(edge, customer)
