"""Bearer tokens: each opens one workspace, for reading, editing or also administration, until it expires or is revoked.

That of a shared link opens a few questions of a workspace.
"""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.dashboard.session import session_of
from services.api.shared.context import ApiContext, Context
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken
from throughline.store.access.modes import Scope
from throughline.store.access.shares import question_digest

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token (`throughline token create`), shown once when it is made. It opens one workspace.",
)


def _secret_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
) -> str | None:
    return session_of(request) if credentials is None else credentials.credentials


Secret = Annotated[str | None, Depends(_secret_of)]
"""The parameter of an endpoint that receives the token or the page's session of a request, unchecked."""


async def authenticate(context: ApiContext, secret: str | None) -> ReadToken:
    """The token of a request, which names the workspace that it opens.

    Raises:
        ServiceError: 401 `missing_token`, `unknown_token` or `expired_token`; 503 `database_away`.
    """
    if secret is None:
        raise ServiceError(
            401,
            "missing_token",
            "send a token: Authorization: Bearer tlr_...",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )
    return await context.tokens.find(secret)


async def _authenticated(request: Request, context: Context, secret: Secret) -> ReadToken:
    token = await authenticate(context, secret)
    context.rate.take(token)
    if token.questions is None:
        context.tokens.use(token)
    elif request.method != "GET" or question_digest(request.url.path, request.url.query) not in token.questions:
        raise ServiceError(
            403,
            "other_question",
            "this is the token of a shared link, whose view does not ask this; GET /v1/shared lists what it asks",
        )
    return token


Token = Annotated[ReadToken, Depends(_authenticated)]
"""The parameter of an endpoint that requires a token, and receives the workspace that the token opens."""


async def _of_shared_link(context: Context, secret: Secret) -> ReadToken:
    token = await authenticate(context, secret)
    context.rate.take(token)
    if token.questions is None:
        raise ServiceError(
            404,
            "not_shared",
            "this is no token of a shared link, and may ask anything that /openapi.json lists",
        )
    return token


SharedToken = Annotated[ReadToken, Depends(_of_shared_link)]
"""The parameter of an endpoint that receives the token of a shared link."""


def _require(token: ReadToken, scope: Scope) -> ReadToken:
    if token.scope not in (scope, Scope.ADMIN):
        raise ServiceError(
            403,
            "insufficient_scope",
            f"this needs a token of the scope {scope}: throughline token create --scope {scope}",
            headers={"WWW-Authenticate": f'Bearer realm="throughline", error="insufficient_scope", scope="{scope}"'},
        )
    return token


async def _editor(token: Token) -> ReadToken:
    return _require(token, Scope.EDIT)


EditToken = Annotated[ReadToken, Depends(_editor)]
"""The parameter of an endpoint that shares or annotates. `token.who` is what the audit log calls whoever asks."""


async def _administrator(token: Token) -> ReadToken:
    return _require(token, Scope.ADMIN)


AdminToken = Annotated[ReadToken, Depends(_administrator)]
"""The parameter of an endpoint that administers. `token.who` is what the audit log calls whoever asks."""
