"""Bearer read tokens: each opens one workspace."""

from typing import Annotated

from fastapi import Depends
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.shared.cache import cached
from services.api.shared.context import ApiContext, Context
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken, find_read_token, key_digest

TOKEN_SECONDS = 1.0
"""Maximum time for which a revoked token still opens its workspace."""

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="readToken",
    description="A read token (`throughline token create`), shown once when it is made. It opens one workspace.",
)

Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def authenticate(context: ApiContext, credentials: HTTPAuthorizationCredentials | None) -> ReadToken:
    """The workspace that a request's token opens.

    Raises:
        ServiceError: 401 `missing_token` or `unknown_token`; 503 `database_away`.
    """
    if credentials is None:
        raise ServiceError(
            401,
            "missing_token",
            "send a read token: Authorization: Bearer tlr_...",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )
    token = await _token_of(context, key_digest(credentials.credentials))
    if token is None:
        raise ServiceError(
            401,
            "unknown_token",
            "the read token is unknown or was revoked; make one with: throughline token create",
            headers={"WWW-Authenticate": 'Bearer realm="throughline", error="invalid_token"'},
        )
    return token


@cached(seconds=TOKEN_SECONDS)
async def _token_of(context: ApiContext, digest: bytes) -> ReadToken | None:
    async with context.database.reading("token") as connection:
        return await find_read_token(connection, digest)


async def _authenticated(context: Context, credentials: Credentials) -> ReadToken:
    return await authenticate(context, credentials)


Token = Annotated[ReadToken, Depends(_authenticated)]
"""The parameter of an endpoint that requires a read token, and receives the workspace that the token opens."""
