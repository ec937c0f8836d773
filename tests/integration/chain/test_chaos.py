"""The tool of `make chaos`: its plan, and a short run on the session's servers, which are left in peace."""

import contextlib
from pathlib import Path

import pytest

from bench.chaos.customers import Customers
from bench.chaos.faults import Surroundings, plan
from bench.chaos.proxy import Line
from bench.chaos.run import services
from tests.support.stack import Stack
from throughline.local import LocalKafka, LocalPostgres, Supervisor
from throughline.local.kafka_files import copies_on


class Process:
    """A victim that nobody hurts."""

    pid = 0


def test_a_seed_gives_a_plan_with_every_kind() -> None:
    surroundings = Surroundings(
        {"ingest": Process(), "kafka": Process()}, {"line": Line(0)}, {"clock": Path("clock")}, database_url="postgres"
    )
    faults = plan(surroundings, seed=3, count=20, longest_s=2)
    assert faults == plan(surroundings, seed=3, count=20, longest_s=2) != plan(surroundings, seed=4, count=20)
    assert {fault.kind for fault in faults} == {"kill", "stop", "term", "cut", "swallow", "clock", "slow disk"}
    assert max(fault.seconds for fault in faults) <= 2


@pytest.mark.deep
async def test_a_short_run_is_exact(stack: Stack, kafka: LocalKafka, postgres: LocalPostgres) -> None:
    supervisor = Supervisor(print, longest_pause_s=1)
    async with contextlib.AsyncExitStack() as lines:
        try:
            ground = await services(stack, postgres.port, copies_on(1), supervisor, lines)
            customers = Customers(ground.ingest.url, stack.write_key, seed=5, count=300, events_per_second=40)
            faults = plan(ground.surroundings, seed=5, count=5, longest_s=1.5)
            outcome = await ground.run(faults, customers, report=print)
        finally:
            await supervisor.stop()
    assert outcome.verdict.faults == []
    assert outcome.events > 50
    assert set(outcome.statuses) <= {0, 200, 503}
