"""One event a request: ingest beside the fastest answer possible, and beside the plain way to write it."""

from pathlib import Path

import httpx

from bench.bed import Bed, Scale, port_of, say, send, serve_baseline
from bench.load import Result, Spec
from bench.report import Goal, Row
from tests.support.stack import Service

CONNECTIONS = 64


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """Requests a second and p99; the servers stay up and take turns."""
    async with bed.topic() as topic, bed.site(topic) as site:
        ingest = await site.run("ingest")
        reply = await _reply(ingest, site.write_key)
        bare, _ = await serve_baseline(bed, "bare_asgi", REPLY=reply)
        plain, _ = await serve_baseline(bed, "plain_fastapi", REPLY=reply, TOPIC=topic)
        site.services += [bare, plain]
        results: dict[str, list[Result]] = {"ingest": [], "bare_asgi": [], "plain_fastapi": []}
        for number in range(scale.rounds):
            for service in (ingest, bare, plain):
                result = await send(
                    Spec(
                        port=port_of(service),
                        key=site.write_key,
                        connections=CONNECTIONS,
                        warm_seconds=scale.warm_seconds,
                        seconds=scale.seconds,
                        prefix=f"s{number}{service.name[0]}",
                        pids=[service.child.pid],
                    )
                )
                results[service.name].append(result)
                say(
                    f"single: {service.name} {result.request_rate:,.0f} requests/s, p99 {result.p99_ms:.1f} ms, "
                    f"server {result.cpu_seconds[0] / result.seconds:.2f} and generator "
                    f"{result.generator_busy:.2f} of a core"
                )
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
            goal=Goal("ratio", least=0.60),
            note=note,
        ),
        Row(
            name="single event",
            unit="req/s",
            rounds=rates["ingest"],
            baseline="plain FastAPI",
            baseline_rounds=rates["plain_fastapi"],
            goal=Goal("ratio", least=8),
        ),
        Row(
            name="single event, p99",
            unit="ms",
            rounds=p99["ingest"],
            baseline="bare uvicorn",
            baseline_rounds=p99["bare_asgi"],
        ),
        Row(
            name="single event, p99",
            unit="ms",
            rounds=p99["ingest"],
            baseline="plain FastAPI",
            baseline_rounds=p99["plain_fastapi"],
        ),
    ]


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """Ingest under the same load, profiled."""
    async with bed.topic() as topic, bed.site(topic) as site:
        ingest = await site.run("ingest", profile=file)
        await send(Spec(port=port_of(ingest), key=site.write_key, connections=CONNECTIONS, seconds=scale.seconds))


async def _reply(ingest: Service, key: str) -> str:
    """What ingest answers to one good event: the baselines answer the same bytes."""
    event = {"userId": "first", "event": "Product Viewed", "messageId": "first"}
    async with httpx.AsyncClient(auth=(key, "")) as client:
        answer = await client.post(f"{ingest.url}/v1/track", json=event)
        answer.raise_for_status()
        return answer.text
