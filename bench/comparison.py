"""`--against DIR`: the same load on our services and on those of another checkout, in turns, on the same servers."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from bench.load import Result
from bench.report import Goal, Row
from bench.servers import OURS, Checkout, Servers, Sizes
from tests.support.stack import Service

NOT_SLOWER = Goal("ratio", least=0.95)

Load = Callable[[Service, str, Sizes, str, str], Awaitable[Result]]
"""From a service, its write key, the sizes, a prefix of message ids and a label for progress to a result."""


async def load_both(servers: Servers, sizes: Sizes, other: Checkout, load: Load) -> tuple[list[Result], list[Result]]:
    """The results of our ingest and of the other checkout's, round by round; both stay up and take turns."""
    results: dict[str, list[Result]] = {OURS.label: [], other.label: []}
    async with AsyncExitStack() as stack:
        topic = await stack.enter_async_context(servers.topic())
        deployments = []
        for checkout in (OURS, other):
            deployment = await stack.enter_async_context(servers.deployment(topic, checkout))
            await deployment.run("ingest")
            deployments.append(deployment)
        for number in range(sizes.rounds):
            # Whoever goes first in a round meets a machine that has just rested: it is each of them in turn.
            for deployment in deployments if number % 2 == 0 else reversed(deployments):
                label = deployment.checkout.label
                prefix = f"{number}-{label}"
                result = await load(deployment.services[0], deployment.write_key, sizes, prefix, f"ingest ({label})")
                results[label].append(result)
    return results[OURS.label], results[other.label]


def rate_row(name: str, unit: str, ours: list[float], theirs: list[float], other: Checkout) -> Row:
    """A figure where more is better, with the goal that ours is not slower."""
    return Row(name=name, unit=unit, rounds=ours, baseline=other.label, baseline_rounds=theirs, goal=NOT_SLOWER)
