"""A real shop's figures, out of rows that were staged as of the shop's last day."""

from collections.abc import AsyncIterator

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.funnel.answers import Funnel
from services.stager.stage.models import ModelRegistry
from tests.support.answers import ok
from tests.support.pipeline import PARTITIONS, Pipeline
from tests.support.rows import Rows
from tests.support.stack import Service, Stack
from tests.support.visits_shop import (
    ALL,
    END_US,
    MODEL,
    check_attribution,
    check_friction,
    check_stays,
    check_the_bug_and_the_incident,
    check_variants,
    shop_events,
)
from throughline.journey.touchpoint import Touchpoint


@pytest.fixture
async def shop(stack: Stack, rows: Rows, engine: AsyncEngine, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the api of the shop's workspace."""
    checkout = await rows.live("checkout", document=MODEL)
    pipeline = Pipeline(
        engine, stack.database, stack.workspace_id, {"checkout": checkout}, stack.touchpoints, ModelRegistry(engine)
    )
    pipeline.send(
        [
            Touchpoint(
                event.at_us,
                0,
                f"{event.number:06}",
                event.customer,
                "track",
                event.name,
                source=rows.source,
                channel=event.channel,
                received_us=event.at_us,
                user_id=event.customer,
                order_id=f"o{event.number}" if event.name == "purchase" else "",
                total=event.number % 97 + 0.95 if event.name == "purchase" else None,
                currency=("EUR", "JPY", "")[event.number % 3] if event.name == "purchase" else "",
                attribution=f'{{"device":{{"type":"{event.device}"}}}}',
            )
            for event in shop_events()
        ]
    )
    for partition in range(PARTITIONS):
        while pipeline.waiting[partition]:
            await pipeline.stage(partition, 500)
        await rows.through(END_US, partition=partition)
    await pipeline.tick(END_US)
    async with stack.api(service) as client:
        yield client


async def test_the_figures_of_the_shop(shop: httpx.AsyncClient) -> None:
    await check_the_bug_and_the_incident(shop)
    await check_friction(shop)
    await check_stays(shop)
    await check_variants(shop)
    await check_attribution(shop)


async def test_half_of_the_customers_take_longer_than_half_of_the_buyers(shop: httpx.AsyncClient) -> None:
    question = {"model": "checkout", "steps": "browse,purchase", "unit": "customer", "window": "60d", **ALL}
    answer = await ok(shop, "/v1/funnel", Funnel, **question)
    time = answer["steps"][0]["time"]
    # Half of the buyers took 33 days, but half of the customers 81 (Kaplan-Meier), within the bin from 60 to 90.
    assert 70 * 86_400 < time["p50"] < 90 * 86_400
