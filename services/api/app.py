"""The HTTP application: the features' routes, errors, cross-origin rules, metrics, and the OpenAPI document."""

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.api.abandonment.routes import router as abandonment
from services.api.annotations.routes import router as annotations
from services.api.attribution.routes import router as attribution
from services.api.customers.routes import router as customers
from services.api.dashboard import page, session
from services.api.events.routes import router as events
from services.api.flows.routes import router as flows
from services.api.funnel.routes import router as funnel
from services.api.history.routes import router as history
from services.api.identity.routes import router as identity
from services.api.journeys.routes import router as journeys
from services.api.live.feeds import Feeds
from services.api.messages.routes import router as messages
from services.api.models.routes import router as models
from services.api.moves.routes import router as moves
from services.api.persons.routes import router as persons
from services.api.phases.routes import CountsQuestion
from services.api.phases.routes import router as phases
from services.api.referrals.routes import router as referrals
from services.api.rejected.routes import router as rejected
from services.api.search.routes import router as search
from services.api.shared import problems
from services.api.shared.context import ApiContext
from services.api.shared.csv_answers import CsvPaths
from services.api.shared.openapi import describe_answers
from services.api.sharing.routes import router as shares
from services.api.telemetry import Telemetry
from services.api.voice.routes import router as voice
from services.api.workspaces.routes import router as workspaces
from throughline.kit import health
from throughline.kit.metrics import API_REGISTRY

ROUTERS = (
    workspaces,
    models,
    phases,
    history,
    funnel,
    flows,
    moves,
    abandonment,
    messages,
    voice,
    referrals,
    attribution,
    customers,
    search,
    journeys,
    identity,
    events,
    rejected,
    annotations,
    shares,
    persons,
)
"""The features, in the order of the OpenAPI document."""

DESCRIPTION = """Live customer-journey phase counts and journeys of one workspace.

Send a token: `Authorization: Bearer tlr_...`. Errors are problem details (RFC 9457) with a stable `code`.
Instants are RFC 3339 in UTC with up to six decimals. `as_of`: everything received before it, and every
lapse due by it, is in the answer. `model` chooses among the workspace's live phase models."""


class _ApiCors(CORSMiddleware):
    """Scripts of any origin may use /v1 with a token they hold, and nothing else: not the page's cookie or session."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/v1/") and scope["path"] != session.PATH:
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)


SECURITY_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
"""Of every answer, beside those of every port (`kit/server.py`). The page has a policy of its own."""


class _SecurityHeaders:
    """Adds `SECURITY_HEADERS` to every answer that lacks them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, secured)


def create_app(context: ApiContext, feeds: Feeds[CountsQuestion], *, has_metrics: bool = True) -> FastAPI:
    """The application."""
    app = FastAPI(
        title="Throughline",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # both viewers load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        servers=[{"url": "/", "description": "the api that this document comes from"}],
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.context = context
    app.state.feeds = feeds
    problems.install(app)
    for router in ROUTERS:
        app.include_router(router)
    app.router.routes.extend(
        health.routes({"database": context.database.check}, (lambda: API_REGISTRY) if has_metrics else None)
    )
    app.router.routes.extend((*page.routes(context.ingest_url), *session.routes()))
    describe_answers(app, ROUTERS)
    app.add_middleware(
        _ApiCors,
        allow_origins=["*"],
        allow_methods=["GET", "POST", "PATCH", "DELETE"],
        allow_headers=["Authorization", "If-None-Match", "Last-Event-ID"],
        expose_headers=["ETag", "Link", "Retry-After"],
    )
    app.add_middleware(CsvPaths)
    app.add_middleware(Telemetry)
    app.add_middleware(_SecurityHeaders)
    return app
