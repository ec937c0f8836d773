"""Unmodified browser SDKs of Segment, RudderStack and Jitsu in Chromium, from another origin: every event once."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.faults import REFUSED_SECONDS, Fault, dropped, healthy, refused
from tests.e2e.clients.website import Website
from tests.support.stack import until

EVENTS = 12
LAST = 3
VISIT_SECONDS = 30.0


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """The page of a new visitor, without storage of other visits."""
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


async def visit(page: Page, website: Website, edge: Edge, sdk: str, *switches: str, count: int = EVENTS) -> None:
    """Open the page of an SDK, and wait until it has sent all its events."""
    query = {"host": edge.url.removeprefix("http://"), "key": edge.write_key, "count": count, **dict.fromkeys(switches)}
    await page.goto(f"{await website.page(sdk)}?{urlencode(query)}")
    async with asyncio.timeout(VISIT_SECONDS):
        await page.evaluate("window.shop")


BEACON = ("rudder", "beacon")
SDKS = [("segment",), ("segment", "batching"), ("rudder",), ("rudder", "batching"), BEACON]
AT_ONCE = [("segment", "batching"), BEACON]
"""SDKs that send their queue as the page closes; the others send it with the next page."""
LASTING = pytest.mark.parametrize("sdk", SDKS, ids="-".join)


@pytest.mark.parametrize(
    ("sdk", "fault"),
    [
        pytest.param(
            sdk,
            fault,
            id="-".join((*sdk, fault.__name__)),
            marks=() if fault is healthy else pytest.mark.deep,
        )
        for sdk in SDKS
        for fault in (healthy, refused, dropped)
        if (sdk, fault) != (BEACON, refused)  # see test_a_beacon_is_never_sent_again
    ],
)
async def test_every_event_once(page: Page, website: Website, edge: Edge, sdk: tuple[str, ...], fault: Fault) -> None:
    fault(edge.proxy)
    await visit(page, website, edge, *sdk)
    touchpoints = await edge.arrived(EVENTS)
    assert {t.product_id for t in touchpoints if t.call == "track"} == {f"p-{n}" for n in range(2, EVENTS)}
    assert sorted(t.call for t in touchpoints if t.call != "track") == ["identify", "page"]
    assert {t.user_id for t in touchpoints if t.call == "track"} == {"ada"}
    assert len({t.anonymous_id for t in touchpoints}) == 1
    assert all(not t.warnings for t in touchpoints)


@LASTING
async def test_a_page_that_is_closed(page: Page, website: Website, edge: Edge, sdk: tuple[str, ...]) -> None:
    """Events that a page sends while it closes arrive: at once, or with the visitor's next page."""
    await visit(page, website, edge, *sdk)
    await edge.arrived(EVENTS)
    await page.evaluate(f"window.leave({LAST})")
    await page.close(run_before_unload=True)
    count = EVENTS + LAST
    if sdk not in AT_ONCE:
        await visit(await page.context.new_page(), website, edge, *sdk, count=2)
        count += 2
    touchpoints = await edge.arrived(count)
    assert {f"p-last-{n}" for n in range(LAST)} <= {t.product_id for t in touchpoints}


async def test_a_beacon_is_never_sent_again(page: Page, website: Website, edge: Edge) -> None:
    """A page never learns the answer to a beacon: a refused one is lost."""
    edge.proxy.refuse(REFUSED_SECONDS)
    await visit(page, website, edge, "rudder", "beacon", count=4)

    async def beacon_refused() -> bool:
        return edge.proxy.refused > 0

    await until(beacon_refused, what="a refused beacon")
    assert await edge.touchpoints() == []


async def test_jitsu(page: Page, website: Website, edge: Edge) -> None:
    await visit(page, website, edge, "jitsu")
    touchpoints = await edge.arrived(EVENTS)
    assert {t.product_id for t in touchpoints if t.call == "track"} == {f"p-{n}" for n in range(2, EVENTS)}
    assert {t.user_id for t in touchpoints if t.call == "track"} == {"ada"}
    assert all(not t.warnings for t in touchpoints)


async def test_jitsu_answers_lost(page: Page, website: Website, edge: Edge) -> None:
    edge.proxy.drop(2)
    await visit(page, website, edge, "jitsu")
    await edge.arrived(EVENTS)


async def test_jitsu_never_sends_again(page: Page, website: Website, edge: Edge) -> None:
    """Jitsu does not send refused events again: ingest cannot change that."""
    edge.proxy.refuse(REFUSED_SECONDS)
    await visit(page, website, edge, "jitsu", count=4)

    async def all_refused() -> bool:
        return edge.proxy.refused == 4

    await until(all_refused, what="four refusals")
    assert await edge.touchpoints() == []
