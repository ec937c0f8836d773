"""Unmodified browser SDKs of Segment, RudderStack and Jitsu in Chromium, from another origin: every event once."""

import asyncio
from collections.abc import AsyncIterator
from urllib.parse import urlencode

import pytest
from playwright.async_api import Browser, Page

from tests.e2e.clients.conftest import Edge
from tests.e2e.clients.troubles import REFUSED_SECONDS, Trouble, dropped, healthy, refused
from tests.e2e.clients.website import Website
from tests.support.stack import until

EVENTS = 12
LAST = 3
VISIT_SECONDS = 30.0


@pytest.fixture
async def page(chromium: Browser) -> AsyncIterator[Page]:
    """A visitor of its own: nothing kept from other visits."""
    context = await chromium.new_context()
    yield await context.new_page()
    await context.close()


async def visit(page: Page, website: Website, edge: Edge, sdk: str, *switches: str, count: int = EVENTS) -> None:
    """Open the page of an SDK, and wait until it has said all its events."""
    query = {"host": edge.url.removeprefix("http://"), "key": edge.write_key, "count": count, **dict.fromkeys(switches)}
    await page.goto(f"{await website.page(sdk)}?{urlencode(query)}")
    async with asyncio.timeout(VISIT_SECONDS):
        await page.evaluate("window.shop")


BEACON = ("rudder", "beacon")
SDKS = [("segment",), ("segment", "batching"), ("rudder",), ("rudder", "batching"), BEACON]
AT_ONCE = [("segment", "batching"), BEACON]
"""Those that send what is left as the page closes; the others do with the next page."""
LASTING = pytest.mark.parametrize("sdk", SDKS, ids="-".join)


@pytest.mark.parametrize(
    ("sdk", "trouble"),
    [
        pytest.param(
            sdk,
            trouble,
            id="-".join((*sdk, trouble.__name__)),
            marks=() if trouble is healthy else pytest.mark.deep,
        )
        for sdk in SDKS
        for trouble in (healthy, refused, dropped)
        if (sdk, trouble) != (BEACON, refused)  # see test_a_beacon_is_never_sent_again
    ],
)
async def test_every_event_once(
    page: Page, website: Website, edge: Edge, sdk: tuple[str, ...], trouble: Trouble
) -> None:
    trouble(edge.fault)
    await visit(page, website, edge, *sdk)
    facts = await edge.arrived(EVENTS)
    assert {fact.product_id for fact in facts if fact.call == "track"} == {f"p-{n}" for n in range(2, EVENTS)}
    assert sorted(fact.call for fact in facts if fact.call != "track") == ["identify", "page"]
    assert {fact.user_id for fact in facts if fact.call == "track"} == {"ada"}
    assert len({fact.anonymous_id for fact in facts}) == 1
    assert all(not fact.warnings for fact in facts)


@LASTING
async def test_a_page_that_is_closed(page: Page, website: Website, edge: Edge, sdk: tuple[str, ...]) -> None:
    """What a page says as it goes away arrives: at once, or with the visitor's next page."""
    await visit(page, website, edge, *sdk)
    await edge.arrived(EVENTS)
    await page.evaluate(f"window.leave({LAST})")
    await page.close(run_before_unload=True)
    count = EVENTS + LAST
    if sdk not in AT_ONCE:
        await visit(await page.context.new_page(), website, edge, *sdk, count=2)
        count += 2
    facts = await edge.arrived(count)
    assert {f"p-last-{n}" for n in range(LAST)} <= {fact.product_id for fact in facts}


async def test_a_beacon_is_never_sent_again(page: Page, website: Website, edge: Edge) -> None:
    """A page is not told what became of a beacon: what is refused is lost."""
    edge.fault.refuse(REFUSED_SECONDS)
    await visit(page, website, edge, "rudder", "beacon", count=4)

    async def told() -> bool:
        return edge.fault.refused > 0

    await until(told, what="a refused beacon")
    assert await edge.facts() == []


async def test_jitsu(page: Page, website: Website, edge: Edge) -> None:
    await visit(page, website, edge, "jitsu")
    facts = await edge.arrived(EVENTS)
    assert {fact.product_id for fact in facts if fact.call == "track"} == {f"p-{n}" for n in range(2, EVENTS)}
    assert {fact.user_id for fact in facts if fact.call == "track"} == {"ada"}
    assert all(not fact.warnings for fact in facts)


async def test_jitsu_answers_lost(page: Page, website: Website, edge: Edge) -> None:
    edge.fault.drop(2)
    await visit(page, website, edge, "jitsu")
    await edge.arrived(EVENTS)


async def test_jitsu_never_sends_again(page: Page, website: Website, edge: Edge) -> None:
    """What it is refused is lost: nothing on this side can change that."""
    edge.fault.refuse(REFUSED_SECONDS)
    await visit(page, website, edge, "jitsu", count=4)

    async def all_refused() -> bool:
        return edge.fault.refused == 4

    await until(all_refused, what="four refusals")
    assert await edge.facts() == []
