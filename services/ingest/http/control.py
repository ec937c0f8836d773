"""Everything but the event paths: settings for the libraries, health, metrics, documentation."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import Response

from services.ingest.dialects import posthog_answers
from services.ingest.http.keys import Keys
from services.ingest.http.openapi import describe, problem
from throughline.kit.errors import ServiceError
from throughline.kit.health import Check, routes
from throughline.kit.problems import install_problem_handlers
from throughline.store.access.keys import SourceKey


def create_rest(keys: Keys, checks: dict[str, Check], registry: Callable[[], Any], lifespan: Any) -> FastAPI:
    """The FastAPI app behind `Front`."""
    app = FastAPI(
        title="Throughline ingest",
        version="1",
        summary="Takes events from the SDKs you already use.",
        description="Point a Segment library at this address. A 200 means that Kafka has acknowledged the events.",
        lifespan=lifespan,
    )

    unknown: dict[int | str, dict[str, Any]] = {
        404: problem("No enabled source has this write key", 404, "unknown_write_key"),
        503: problem("The write keys could not be read yet", 503, "keys_unavailable"),
    }
    script = {"description": "A script", "content": {"application/javascript": {"schema": {"type": "string"}}}}

    def enabled(key: str) -> SourceKey:
        if not keys.loaded:
            raise ServiceError(
                503, "keys_unavailable", "write keys could not be read yet", headers={"Retry-After": "1"}
            )
        source = keys.find(key)
        if source is None or not source.enabled:
            raise ServiceError(404, "unknown_write_key", "no enabled source has this write key")
        return source

    about: dict[str, Any] = {"tags": ["settings"], "responses": unknown}

    @app.get("/v1/projects/{key}/settings", **about, summary="What the browser library asks for first")
    @app.get("/projects/{key}/settings", **about, summary="What the mobile libraries ask for first")
    async def settings(key: str) -> dict[str, Any]:
        enabled(key)
        return {"integrations": {"Segment.io": {"apiKey": key}}, "plan": {}, "analyticsNextEnabled": True}

    @app.get("/array/{token}/config", **about, summary="What posthog-js asks for before it sends")
    async def posthog_config(token: str) -> Response:
        enabled(token)
        return Response(posthog_answers.config(), media_type="application/json")

    @app.get(
        "/array/{token}/config.js",
        tags=["settings"],
        responses={**unknown, 200: script},
        response_class=Response,
        summary="The same, as a script",
    )
    async def posthog_config_script(token: str) -> Response:
        enabled(token)
        return Response(posthog_answers.config_script(token), media_type="application/javascript")

    @app.get("/sourceConfig/", **about, summary="What RudderStack's browser library asks for first")
    @app.get("/sourceConfig", include_in_schema=False)
    async def source_config(key: Annotated[str, Query(alias="writeKey")] = "") -> dict[str, Any]:
        found = enabled(key)
        source = {
            "id": str(found.source),
            "name": found.source_name,
            "writeKey": key,
            "workspaceId": str(found.workspace),
            "enabled": True,
            "config": {"statsCollection": {"errors": {"enabled": False}, "metrics": {"enabled": False}}},
            "destinations": [],
        }
        return {"source": source, "updatedAt": "1970-01-01T00:00:00.000Z"}

    install_problem_handlers(app)
    app.router.routes.extend(routes(checks, registry))
    describe(app)
    return app
