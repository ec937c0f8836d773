"""One event a request: ingest beside the fastest answer possible, and beside the plain way to write it."""

from operator import attrgetter
from pathlib import Path

import httpx

from bench.comparison import load_both, rate_row
from bench.load import Result, Spec
from bench.report import Goal, Row
from bench.servers import Checkout, Servers, Sizes, port_of, print_progress, send, serve_baseline
from tests.support.stack import Service

CONNECTIONS = 64


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Requests a second and p99; the servers stay up and take turns."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        ingest = await deployment.run("ingest")
        reply = await _reply(ingest, deployment.write_key)
        bare, _ = await serve_baseline(servers, "bare_asgi", REPLY=reply)
        plain, _ = await serve_baseline(servers, "plain_fastapi", REPLY=reply, TOPIC=topic)
        deployment.services += [bare, plain]
        results: dict[str, list[Result]] = {"ingest": [], "bare_asgi": [], "plain_fastapi": []}
        for number in range(sizes.rounds):
            for service in (ingest, bare, plain):
                prefix = f"s{number}{service.name[0]}"
                results[service.name].append(await _load(service, deployment.write_key, sizes, prefix, service.name))
    rates = {name: [result.request_rate for result in rounds] for name, rounds in results.items()}
    p99 = {name: [result.p99_ms for result in rounds] for name, rounds in results.items()}
    busy = max(result.generator_busy for result in results["bare_asgi"])
    note = (
        f"{CONNECTIONS} connections, one worker; the generator takes up to {busy:.2f} of a core (at the bare server's "
        "rate), Kafka shares the rest"
    )
    return [
        Row(
            name="single event",
            unit="req/s",
            rounds=rates["ingest"],
            baseline="bare uvicorn",
            baseline_rounds=rates["bare_asgi"],
            goal=Goal("ratio", least=0.40),
            note=note,
        ),
        Row(
            name="single event",
            unit="req/s",
            rounds=rates["ingest"],
            baseline="plain FastAPI",
            baseline_rounds=rates["plain_fastapi"],
            goal=Goal("ratio", least=4.5),
        ),
        Row(
            name="single event, p99",
            unit="ms",
            rounds=p99["ingest"],
            baseline="bare uvicorn",
            baseline_rounds=p99["bare_asgi"],
            goal=Goal("value", most=8),
        ),
        Row(
            name="single event, p99",
            unit="ms",
            rounds=p99["ingest"],
            baseline="plain FastAPI",
            baseline_rounds=p99["plain_fastapi"],
        ),
    ]


async def compare(servers: Servers, sizes: Sizes, other: Checkout) -> list[Row]:
    """Requests a second and p99 of our ingest and of the other checkout's."""
    ours, theirs = await load_both(servers, sizes, other, _load)
    rate = attrgetter("request_rate")
    return [
        rate_row("single event", "req/s", list(map(rate, ours)), list(map(rate, theirs)), other),
        Row(
            name="single event, p99",
            unit="ms",
            rounds=[result.p99_ms for result in ours],
            baseline=other.label,
            baseline_rounds=[result.p99_ms for result in theirs],
        ),
    ]


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """Ingest under the same load, profiled."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        ingest = await deployment.run("ingest", profile=file)
        await send(Spec(port=port_of(ingest), key=deployment.write_key, connections=CONNECTIONS, seconds=sizes.seconds))


async def _load(service: Service, key: str, sizes: Sizes, prefix: str, label: str) -> Result:
    result = await send(
        Spec(
            port=port_of(service),
            key=key,
            connections=CONNECTIONS,
            warm_seconds=sizes.warm_seconds,
            seconds=sizes.seconds,
            prefix=prefix,
            pids=[service.child.pid],
        )
    )
    print_progress(
        f"single: {label} {result.request_rate:,.0f} requests/s, p99 {result.p99_ms:.1f} ms, server "
        f"{result.cpu_seconds[0] / result.seconds:.2f} and generator {result.generator_busy:.2f} of a core"
    )
    return result


async def _reply(ingest: Service, key: str) -> str:
    """The body with which ingest answers one good event: the baselines answer the same bytes."""
    event = {"userId": "first", "event": "Product Viewed", "messageId": "first"}
    async with httpx.AsyncClient(auth=(key, "")) as client:
        answer = await client.post(f"{ingest.url}/v1/track", json=event)
        answer.raise_for_status()
        return answer.text
