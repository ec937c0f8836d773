"""`/metrics` on a port of its own, which only Prometheus has to reach.

Apart from `server.py`, since ingest may import prometheus_client only when its workers' folder is set.
"""

import contextlib
import socket
from collections.abc import AsyncIterator, Callable

from prometheus_client import CollectorRegistry
from starlette.applications import Starlette

from throughline.kit.health import metrics_route
from throughline.kit.server import EmbeddedServer, port_config
from throughline.kit.settings import ServiceSettings

MAX_CONNECTIONS = 32


@contextlib.asynccontextmanager
async def serving_metrics(
    settings: ServiceSettings, registry: Callable[[], CollectorRegistry], *, is_shared: bool = False
) -> AsyncIterator[None]:
    """Serve `/metrics` on METRICS_PORT while the block runs; where that is not set, the service's port has it.

    `is_shared`: several processes listen there, and any of them answers for all. Strangers at the service's port cannot
    use up these connections.

    Raises:
        RuntimeError: the port is in use.
    """
    if settings.metrics_port is None:
        yield
        return
    app = Starlette(routes=[metrics_route(registry)])
    config = port_config(app, settings, limit_concurrency=MAX_CONNECTIONS, lifespan="off")
    try:
        listening = socket.create_server((settings.host, settings.metrics_port), reuse_port=is_shared)
    except OSError as error:
        raise RuntimeError(
            f"cannot listen on {settings.host}:{settings.metrics_port} ({error.strerror}); choose another METRICS_PORT"
        ) from None
    with listening:
        async with EmbeddedServer(config).running([listening]):
            yield
