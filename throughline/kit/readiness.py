"""What /readyz says, as a metric: a process that answers may still have no Kafka and no database."""

import asyncio

from throughline.kit.health import Check
from throughline.kit.metrics import READY

INTERVAL_SECONDS = 5.0


async def measure_readiness(service: str, checks: dict[str, Check]) -> None:
    """Run the checks until cancelled, each time setting `throughline_ready` of each: 0 when it has a complaint."""
    for name in checks:
        READY.labels(service, name).set(0)
    while True:
        for name, check in checks.items():
            READY.labels(service, name).set(0 if await check() else 1)
        await asyncio.sleep(INTERVAL_SECONDS)
