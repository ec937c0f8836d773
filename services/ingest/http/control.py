"""Everything but the event paths: settings for the client libraries, health, metrics, documentation."""

import re
from collections.abc import Callable

from fastapi import FastAPI
from fastapi.responses import Response
from prometheus_client import CollectorRegistry
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send, StatelessLifespan

from services.ingest.dialects.base import SettingsRoute
from services.ingest.dialects.registry import SPECS
from services.ingest.http import cors, docs_page
from services.ingest.http.keys import Keys
from services.ingest.http.openapi import describe, problem
from throughline.kit.errors import ServiceError
from throughline.kit.health import Check, routes
from throughline.kit.problems import install_problem_handlers
from throughline.store.access.keys import SourceKey


def create_control(
    keys: Keys,
    checks: dict[str, Check],
    registry: Callable[[], CollectorRegistry] | None,
    lifespan: StatelessLifespan[FastAPI],
) -> FastAPI:
    """Returns the FastAPI app behind `IngestApp`. No `registry`: /metrics is on a port of its own."""
    app = FastAPI(
        title="Throughline ingest",
        version="1",
        summary="Takes events from the SDKs you already use.",
        description="Point a Segment library at this address. A 200 means that Kafka has acknowledged the events.",
        lifespan=lifespan,
        docs_url=None,  # both viewers load scripts from elsewhere
        redoc_url=None,
    )
    app.add_middleware(
        _SettingsCors,
        allow_origin_regex=".*",  # echoed, as credentials need it
        allow_credentials=True,
        allow_methods=cors.METHODS,
        allow_headers=["*"],
        expose_headers=[cors.EXPOSED],
        max_age=cors.MAX_AGE_SECONDS,
    )
    for spec in SPECS:
        for route in spec.settings:
            _add_settings_route(app, keys, route)

    install_problem_handlers(app)
    app.router.routes.extend(routes(checks, registry))
    describe(app)
    app.router.routes.append(Route("/docs", _docs_of(app)))
    return app


class _SettingsCors(CORSMiddleware):
    """Pages of any origin may read the settings of their client library, and nothing else: no metrics, say."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _SETTINGS_PATH(scope["path"]):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


_SETTINGS_PATH = re.compile(
    "|".join(
        re.escape(route.path).replace(re.escape("{key}"), "[^/]*") + "/?" for spec in SPECS for route in spec.settings
    )
).fullmatch
"""Matches the paths of `SPECS` that give a library its settings."""


def _docs_of(app: FastAPI) -> Callable[[Request], Response]:
    def docs(_: Request) -> Response:
        return HTMLResponse(docs_page.page_of(app.openapi()), headers=docs_page.HEADERS)

    return docs


def _add_settings_route(app: FastAPI, keys: Keys, route: SettingsRoute) -> None:
    def settings(request: Request) -> Response:
        key = request.query_params.get(route.parameter, "") if route.parameter else request.path_params["key"]
        return Response(route.reply(_enabled_source(keys, key), key), media_type=route.media_type)

    parameter = {"name": route.parameter or "key", "in": "query" if route.parameter else "path"}
    media_type = {"schema": {"type": "object" if route.media_type == "application/json" else "string"}}
    app.add_api_route(
        route.path,
        settings,
        methods=["GET"],
        operation_id="get" + route.path.replace("{key}", "key").replace("/", "_").rstrip("_"),
        tags=["settings"],
        summary=route.summary,
        include_in_schema=route.documented,
        response_class=Response,
        responses={
            200: {"description": "Settings", "content": {route.media_type: media_type}},
            404: problem("No enabled source has this write key", 404, "unknown_write_key"),
            503: problem("The write keys could not be read yet", 503, "keys_unavailable"),
        },
        openapi_extra={
            "parameters": [{**parameter, "required": not route.parameter, "schema": {"type": "string"}}],
        },
    )


def _enabled_source(keys: Keys, key: str) -> SourceKey:
    if not keys.loaded:
        raise ServiceError(503, "keys_unavailable", "write keys could not be read yet", headers={"Retry-After": "1"})
    source = keys.find(key)
    if source is None or source.is_app_id or not source.enabled:
        raise ServiceError(404, "unknown_write_key", "no enabled source has this write key")
    return source
