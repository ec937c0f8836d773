"""Analytics: what keeping their sums costs the stager, the bytes that they take, and how long answers take.

Answers are measured with few customers and with many, who are written as staging would have left them.
"""

import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AsyncExitStack
from statistics import quantiles
from typing import NamedTuple

import asyncpg
import httpx

from bench.figures.staging import fill, ordered_log, stage, turn_analytics_off
from bench.report import Goal, Row
from bench.servers import Deployment, Servers, Sizes, print_progress
from tests.support.folded import COLUMNS, write_folded
from throughline.analytics.paths import PathCount, markov_credit, shapley_credit
from throughline.journey.durations import DAY_US, HOUR_US, MINUTE_US
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.store.schema.analytics import TABLES

FEW = 1_000
FOLDED = 20_000
"""Number of customers from which on they are not all folded: the others are copies, made in PostgreSQL."""
CHANNELS = ("direct", "email", "organic_search", "paid_search", "social")
DEVICES = ("desktop", "mobile", "tablet")
KEPT = ("/v1/funnel?by=channel", "/v1/funnel/trend", "/v1/funnel/time?phase=discovery", "/v1/flows", "/v1/variants",
        "/v1/abandonment?phase=discovery&by=channel")  # fmt: skip
ASKED = ("/v1/funnel?by=cycle", "/v1/funnel?by=device", "/v1/abandonment/last?phase=discovery",
         "/v1/abandonment/friction?phase=decision", "/v1/abandonment/visits?kind=cart_added&next=order&by=device",
         "/v1/variants/kinds", "/v1/attribution", "/v1/attribution?by=device&rule=time_decay&compare_rules=shapley",
         "/v1/attribution/paths", "/v1/attribution/orders")  # fmt: skip
REQUESTS = 20
PATHS = 10_000
CHANNELS_OF_PATHS = 12
_SIZES = "SELECT sum(pg_total_relation_size(name::regclass))::bigint FROM unnest($1::text[]) name"


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Staging with analytics and without, in turns; then the answers."""
    return [*_models(sizes), *await _staging(servers, sizes), *await _answers(servers, sizes)]


def _models(sizes: Sizes) -> list[Row]:
    """How long models of paths take: a chain of order 2 with its removal effects, and one of order 1 with intervals."""
    dice = random.Random(6)
    names = [f"channel-{number}" for number in range(CHANNELS_OF_PATHS)]
    paths = [
        PathCount(
            tuple(dice.choices(names, k=1 + min(20, int(dice.expovariate(0.25))))), *dice.choice([(1, 0), (0, 3)])
        )
        for _ in range(PATHS)
    ]
    models: dict[str, Callable[[], object]] = {
        "Markov, order 2": lambda: markov_credit(paths, 2, with_bounds=False),
        "Markov, order 1, 200 resamples": lambda: markov_credit(paths, 1, with_bounds=True),
        "incremental Shapley": lambda: shapley_credit(paths, with_bounds=False),
    }
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(sizes.rounds):
        for name, compute in models.items():
            began = time.process_time()
            compute()
            seconds[name].append(time.process_time() - began)
    note = f"{PATHS:,} paths of {CHANNELS_OF_PATHS} channels"
    return [
        Row(name=name, unit="s of CPU", rounds=rounds, goal=Goal("value", most=10), note=note)
        for name, rounds in seconds.items()
    ]


async def _staging(servers: Servers, sizes: Sizes) -> list[Row]:
    events = sizes.staged_events
    rates: dict[bool, list[float]] = {True: [], False: []}
    bytes_: list[float] = []

    async def weigh(deployment: Deployment) -> float:
        connection = await asyncpg.connect(deployment.database)
        try:
            bytes_.append(float(await connection.fetchval(_SIZES, [table.name for table in TABLES])))
        finally:
            await connection.close()
        return 1.0

    async with servers.topic() as topic:
        customers = await fill(servers, topic, ordered_log(events))
        for number in range(sizes.rounds):
            for is_on in (True, False) if number % 2 == 0 else (False, True):
                rate, share = await stage(
                    servers, topic, events, customers, first=None if is_on else turn_analytics_off
                )
                rates[is_on].append(rate)
                print_progress(f"analytics: {'with' if is_on else 'without'} them {rate:,.0f} events/s; {share}")
                await servers.checkpoint()
        await stage(servers, topic, events, customers, then=weigh)
    return [
        Row(
            name="stager with analytics",
            unit="events/s",
            rounds=rates[True],
            baseline="without",
            baseline_rounds=rates[False],
            goal=Goal("ratio", least=0.75),
            note=f"{events:,} events of {customers:,} customers",
        ),
        Row(name="sums of analytics", unit="bytes/event", rounds=[size / events for size in bytes_]),
        Row(name="sums of analytics", unit="bytes/customer", rounds=[size / customers for size in bytes_]),
    ]


class _Latencies(NamedTuple):
    p95: float
    status: int


async def _answers(servers: Servers, sizes: Sizes) -> list[Row]:
    p95: list[dict[str, _Latencies]] = []
    async with servers.topic() as topic:
        for customers in (FEW, sizes.customers):
            async with servers.deployment(topic) as deployment, AsyncExitStack() as stack:
                began = time.perf_counter()
                await _fill_shop(deployment, customers)
                print_progress(f"analytics: {customers:,} customers written in {time.perf_counter() - began:.0f} s")
                await servers.checkpoint()
                client = await stack.enter_async_context(deployment.api(await deployment.run("api")))
                client.timeout = httpx.Timeout(30)
                p95.append({path: await _p95(client, path, REQUESTS) for path in KEPT})
                p95[-1] |= {path: await _p95(client, path, sizes.rounds) for path in ASKED}
    few, many = p95
    rows = [
        Row(
            name=f"kept {path}, p95",
            unit="ms",
            rounds=[many[path].p95],
            baseline=f"{FEW:,} customers",
            baseline_rounds=[few[path].p95],
            goal=Goal("value", most=100),
            note=f"{sizes.customers:,} customers",
        )
        for path in KEPT
    ]
    rows += [
        Row(
            name=f"asked {path}, p95",
            unit="ms",
            rounds=[many[path].p95],
            baseline=f"{FEW:,} customers",
            baseline_rounds=[few[path].p95],
            goal=Goal("value", most=3_000),
            note=f"status {many[path].status}, {sizes.customers:,} customers",
        )
        for path in ASKED
    ]
    return rows


async def _p95(client: httpx.AsyncClient, path: str, requests: int) -> _Latencies:
    seconds: list[float] = []
    status = (await client.get(path)).status_code
    for _ in range(requests):
        began = time.perf_counter()
        status = (await client.get(path)).status_code
        seconds.append(time.perf_counter() - began)
    worst = quantiles(seconds, n=20)[-1] if len(seconds) > 1 else seconds[0]
    print_progress(f"analytics: {path} {1e3 * worst:,.1f} ms, status {status}")
    if status not in (200, 503):
        raise RuntimeError(f"{path} is answered {status}")
    return _Latencies(1e3 * worst, status)


def _customers(deployment: Deployment, customers: int, now: int) -> Iterator[tuple[str, list[Touchpoint]]]:
    """Customers of the last 30 days who look at products, some of whom put one into the cart, and buy."""
    dice = random.Random(4)
    for number in range(customers):
        name, at_us = f"customer-{number:07d}", now - dice.randrange(30 * DAY_US)
        steps = [
            "session_start",
            "product_view",
            *dice.choice([[], [], ["add_to_cart"], ["add_to_cart", "payment_error"]]),
        ]
        if steps[-1] == "add_to_cart" and dice.random() < 0.5:
            steps.append("purchase")
        device, channel = dice.choice(DEVICES), dice.choice(CHANNELS)
        touchpoints = []
        for place, step in enumerate(steps):
            event = Touchpoint(
                at_us, 0, f"{number}-{place}", name, "track", step, deployment.workspace_id, 1, channel, at_us
            )
            order = f"o{number}" if step == "purchase" else ""
            device_fact = f'{{"device":{{"type":"{device}"}}}}'
            touchpoints.append(event._replace(user_id=name, order_id=order, attribution=device_fact))
            at_us += dice.choice([MINUTE_US, 5 * MINUTE_US, HOUR_US, DAY_US])
        yield name, [touchpoint for touchpoint in touchpoints if touchpoint.occurred_us <= now]


async def _fill_shop(deployment: Deployment, customers: int) -> None:
    """Write customers and their sums: some, and as many copies of each, with other ids, as make up the number."""
    now = now_us()
    copies = max(0, customers // FOLDED - 1)
    connection = await asyncpg.connect(deployment.database)
    try:
        await write_folded(
            connection,
            _customers(deployment, customers // (1 + copies), now),
            workspace=deployment.workspace_id,
            model=deployment.model,
            topic=deployment.touchpoints,
            now_us=now,
        )
        if copies:
            for table in COLUMNS:
                await connection.execute(_copy_sql(table, copies))
            for sums in TABLES:
                await connection.execute(f"UPDATE {sums.name} SET number = number * {1 + copies}")
        await connection.execute("VACUUM ANALYZE")
    finally:
        await connection.close()


_DIGESTS: Mapping[str, tuple[str, ...]] = {
    "ids": ("id", "root"),
    "journeys": ("customer",),
    "transitions": ("customer",),
    "conversions": ("customer",),
    "touchpoints": ("actor",),
}
_NAMES: Mapping[str, tuple[str, ...]] = {
    "ids": ("name",),
    "journeys": ("id", "last_actor"),
    "transitions": ("actor",),
    "conversions": (),
    "touchpoints": ("user_id",),
}


def _copy_sql(table: str, copies: int) -> str:
    """The statement that copies all rows of a table, under other ids in each copy."""
    columns = {name: f'"{name}"' for name in COLUMNS[table]}
    columns |= {name: f"substr(sha256({name} || int4send(copy)), 1, 16)" for name in _DIGESTS[table]}
    columns |= {name: f"{name} || '-' || copy" for name in _NAMES[table]}
    names = ", ".join(f'"{name}"' for name in columns)
    return (
        f"INSERT INTO {table} ({names}) SELECT {', '.join(columns.values())} "
        f"FROM {table}, generate_series(1, {copies}) copy"
    )
