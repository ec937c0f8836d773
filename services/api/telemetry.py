"""ASGI middleware: how long each request waits for its answer to start."""

import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from throughline.kit.metrics import API_REQUEST_SECONDS


class Telemetry:
    """Observes every HTTP request under its route's template, so that no id becomes a label."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                status = f"{message['status'] // 100}xx"
                API_REQUEST_SECONDS.labels(_template(scope), status).observe(time.perf_counter() - started)
            await send(message)

        await self._app(scope, receive, observed)


def _template(scope: Scope) -> str:
    if "route" in scope:
        return str(scope["route"].path)
    # Starlette's own routes say only that they matched; those here have no parameters.
    return str(scope["path"]) if "endpoint" in scope else "unmatched"
