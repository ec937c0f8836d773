"""The unmodified snowplow-tracker: every event once, whatever fault occurs."""

import asyncio
import time
from typing import Any

from snowplow_tracker.emitters import Emitter
from snowplow_tracker.events.page_ping import PagePing
from snowplow_tracker.events.page_view import PageView
from snowplow_tracker.events.self_describing import SelfDescribing
from snowplow_tracker.events.structured_event import StructuredEvent
from snowplow_tracker.self_describing_json import SelfDescribingJson
from snowplow_tracker.subject import Subject
from snowplow_tracker.tracker import Tracker

from tests.e2e.clients.conftest import Edge, rest_value
from tests.e2e.clients.faults import Fault, every_fault

EVENTS = 120
SEND_SECONDS = 60.0
ECOMMERCE = "iglu:com.snowplowanalytics.snowplow.ecommerce/{}/jsonschema/1-0-0"
PRODUCT = {"id": "BOOT-MID", "price": 169.0, "quantity": 1, "currency": "EUR"}
TRANSACTION = {"transaction_id": "A-1", "revenue": 169.0, "currency": "EUR", "payment_method": "card"}


def ecommerce(kind: str, **entities: Any) -> SelfDescribing:
    return SelfDescribing(
        SelfDescribingJson(ECOMMERCE.format("snowplow_ecommerce_action"), {"type": kind}),
        context=[SelfDescribingJson(ECOMMERCE.format(name), data) for name, data in entities.items()],
    )


def send(edge: Edge, *, encode_base64: bool = True, method: Any = "post", events: int = EVENTS) -> None:
    emitter = Emitter(edge.url, method=method)
    subject = Subject().set_user_id("ada").set_domain_user_id("browser-1")
    tracker = Tracker("shop", emitter, subject=subject, app_id=edge.write_key, encode_base64=encode_base64)
    tracker.track(PageView("https://shop.example/?utm_source=news&utm_medium=email", "Home"))
    tracker.track(PagePing("https://shop.example/", "Home"))
    tracker.track(StructuredEvent("shop", "add-to-basket", property_="pcs", value=2))
    tracker.track(ecommerce("transaction", transaction=TRANSACTION, product=PRODUCT))
    for _ in range(events - 4):
        tracker.track(ecommerce("product_view", product=PRODUCT))
    deadline = time.monotonic() + SEND_SECONDS
    while True:
        tracker.flush()
        with emitter.lock:
            if not emitter.event_store.size():
                return
        assert time.monotonic() < deadline, "the tracker still holds events"
        time.sleep(0.1)  # its retry is under way


async def check(edge: Edge, events: int = EVENTS) -> None:
    touchpoints = await edge.arrived(events)
    assert {(t.user_id, t.anonymous_id) for t in touchpoints} == {("ada", "browser-1")}
    names = {"Home": 1, "page_ping": 1, "add-to-basket": 1, "transaction": 1, "product_view": events - 4}
    assert {name: sum(t.name == name for t in touchpoints) for name in names} == names
    (order,) = [t for t in touchpoints if t.name == "transaction"]
    assert (order.order_id, order.value, order.currency, order.product_id) == ("A-1", 169.0, "EUR", "BOOT-MID")
    (home,) = [t for t in touchpoints if t.name == "Home"]
    assert home.channel == "email"
    assert rest_value(home, "context", "page", "url").startswith("https://shop.example/")


@every_fault
async def test_every_event_once(edge: Edge, fault: Fault) -> None:
    fault(edge.proxy)
    await asyncio.to_thread(send, edge)
    await check(edge)


async def test_plain_json(edge: Edge) -> None:
    await asyncio.to_thread(send, edge, encode_base64=False)
    await check(edge)


async def test_get(edge: Edge) -> None:
    await asyncio.to_thread(send, edge, method="get", events=20)
    await check(edge, 20)
