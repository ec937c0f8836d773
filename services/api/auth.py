"""Bearer tokens: each opens one workspace, for reading or also for administration, until it expires or is revoked."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.shared.context import ApiContext, Context
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken
from throughline.store.access.modes import Scope

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="token",
    description="A token (`throughline token create`), shown once when it is made. It opens one workspace.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def authenticate(context: ApiContext, credentials: HTTPAuthorizationCredentials | None) -> ReadToken:
    """The token of a request, which names the workspace that it opens.

    Raises:
        ServiceError: 401 `missing_token`, `unknown_token` or `expired_token`; 503 `database_away`.
    """
    if credentials is None:
        raise ServiceError(
            401,
            "missing_token",
            "send a token: Authorization: Bearer tlr_...",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )
    return await context.tokens.find(credentials.credentials)


async def _authenticated(context: Context, credentials: Credentials) -> ReadToken:
    token = await authenticate(context, credentials)
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
