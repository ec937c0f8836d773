"""`throughline_ready` says what /readyz says, and 0 before the first check."""

import asyncio

from throughline.kit.metrics import API_REGISTRY
from throughline.kit.readiness import measure_readiness


def ready(check: str) -> float | None:
    return API_REGISTRY.get_sample_value("throughline_ready", {"service": "tested", "check": check})


async def test_a_complaint_is_0_and_none_is_1() -> None:
    complaints = {"kafka": "", "database": "PostgreSQL does not answer"}
    seen = asyncio.Event()

    async def kafka() -> str:
        assert ready("kafka") == 0
        return complaints["kafka"]

    async def database() -> str:
        seen.set()
        return complaints["database"]

    measuring = asyncio.create_task(measure_readiness("tested", {"kafka": kafka, "database": database}))
    await seen.wait()
    await asyncio.sleep(0)
    assert (ready("kafka"), ready("database")) == (1, 0)
    measuring.cancel()
