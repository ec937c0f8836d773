"""The HTTP application: routes, errors, cross-origin rules, metrics."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import Receive, Scope, Send

from services.api.customers import routes as customers
from services.api.dashboard import page
from services.api.events import routes as events
from services.api.history import routes as history
from services.api.live.feeds import Feeds
from services.api.models import routes as models
from services.api.phases import routes as phases
from services.api.rejected import routes as rejected
from services.api.schemas import Problem
from services.api.shared import problems
from services.api.shared.context import Readers
from services.api.telemetry import Telemetry
from throughline.kit import health
from throughline.kit.metrics import REGISTRY

DESCRIPTION = """Live customer-journey phase counts and journeys of one workspace.

Send a read token: `Authorization: Bearer tlr_...`. Errors are problem details (RFC 9457) with a stable `code`.
Instants are RFC 3339 in UTC with up to six decimals. `as_of`: everything received before it, and every
lapse due by it, is in the answer. `model` chooses among the workspace's live phase models."""


class _ApiCors(CORSMiddleware):
    """Any origin may read /v1 with a token it holds. Nothing else is readable from elsewhere: not the page's token."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/"):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def create_app(readers: Readers, feeds: Feeds, *, page_token: str | None) -> FastAPI:
    """The application over what it reads. `page_token`: see `dashboard/page.py`."""
    app = FastAPI(
        title="Throughline",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # both viewers load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.readers = readers
    app.state.feeds = feeds
    problems.install(app)
    for module in (models, phases, history, customers, events, rejected):
        app.include_router(module.router)
    app.router.routes.extend(health.routes({"database": readers.database.check}, lambda: REGISTRY))
    app.router.routes.extend(page.routes(page_token))
    _describe_problems(app)
    app.add_middleware(
        _ApiCors,
        allow_origins=["*"],
        allow_methods=["GET"],
        allow_headers=["Authorization", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Retry-After"],
    )
    app.add_middleware(Telemetry)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the problem's schema, and only the errors that are really answered, into the OpenAPI document."""
    document = app.openapi()
    schemas = document["components"]["schemas"]
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    schemas["Problem"] = Problem.model_json_schema()
    for operations in document["paths"].values():
        for operation in operations.values():
            operation["responses"].pop("422", None)
