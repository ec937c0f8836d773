"""/healthz, /readyz and /metrics, the same on every service."""

from collections.abc import Awaitable, Callable

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

Check = Callable[[], Awaitable[str]]
"""Returns "" when all is well, else a sentence that names what is missing."""


def routes(checks: dict[str, Check], registry: Callable[[], CollectorRegistry] | None) -> list[Route]:
    """Routes of a Starlette application.

    `/healthz` answers 200 while the process lives; `/readyz` 200 when every check is well, else 503 with each check's
    sentence; `/metrics` is there unless `registry` is None.
    """

    async def healthz(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(_: Request) -> Response:
        sentences = {name: await check() for name, check in checks.items()}
        ready = not any(sentences.values())
        body = {
            "status": "ready" if ready else "not ready",
            "checks": {name: sentence or "ok" for name, sentence in sentences.items()},
        }
        return JSONResponse(body, status_code=200 if ready else 503)

    health = [Route("/healthz", healthz), Route("/readyz", readyz)]
    return health if registry is None else [*health, metrics_route(registry)]


def metrics_route(registry: Callable[[], CollectorRegistry]) -> Route:
    """Returns the route `/metrics`: the metrics of the registry in Prometheus' text format."""

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry()), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return Route("/metrics", metrics)
