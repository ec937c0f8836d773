"""Bearer read tokens: each opens one workspace."""

from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from services.api.shared.context import Readers
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken, key_digest

_bearer = HTTPBearer(
    auto_error=False,
    scheme_name="readToken",
    description="A read token (`throughline token create`), shown once when it is made. It opens one workspace.",
)


def readers_of(request: Request) -> Readers:
    """The process's readers, for routes."""
    readers: Readers = request.app.state.readers
    return readers


async def authenticate(readers: Readers, credentials: HTTPAuthorizationCredentials | None) -> ReadToken:
    """The workspace that the request's token opens.

    Raises:
        ServiceError: 401 `missing_token` or `unknown_token`; 503 while the database is away.
    """
    if credentials is None:
        raise ServiceError(
            401,
            "missing_token",
            "send a read token: Authorization: Bearer tlr_...",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )
    digest = key_digest(credentials.credentials)
    reader = await readers.tokens.get(digest)
    if reader is None:
        raise ServiceError(
            401,
            "unknown_token",
            "the read token is unknown or was revoked; make one with: throughline token create",
            headers={"WWW-Authenticate": 'Bearer realm="throughline", error="invalid_token"'},
        )
    return reader


Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
AllReaders = Annotated[Readers, Depends(readers_of)]


async def _authenticated(readers: AllReaders, credentials: Credentials) -> ReadToken:
    return await authenticate(readers, credentials)


Authenticated = Annotated[ReadToken, Depends(_authenticated)]
