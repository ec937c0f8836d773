"""Bearer tokens: each opens one workspace, for reading or also for administration, until it expires or is revoked."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.dashboard.session import session_of
from services.api.shared.context import ApiContext, Context
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken
from throughline.store.access.modes import Scope

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


async def _authenticated(context: Context, secret: Secret) -> ReadToken:
    token = await authenticate(context, secret)
    context.rate.take(token)
    context.tokens.use(token)
    return token


Token = Annotated[ReadToken, Depends(_authenticated)]
"""The parameter of an endpoint that requires a token, and receives the workspace that the token opens."""


async def _administrator(token: Token) -> ReadToken:
    if token.scope != Scope.ADMIN:
        raise ServiceError(
            403,
            "insufficient_scope",
            "this needs a token of the scope admin: throughline token create --scope admin",
            headers={"WWW-Authenticate": 'Bearer realm="throughline", error="insufficient_scope", scope="admin"'},
        )
    return token


AdminToken = Annotated[ReadToken, Depends(_administrator)]
"""The parameter of an endpoint that administers. `token.who` is what the audit log calls whoever asks."""
