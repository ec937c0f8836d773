"""The page's session: a one-time link's code, or a token, goes in, and a cookie that no script can read comes out.

The cookie is sent with the page's own requests only: browsers keep it from other sites (SameSite), and `session_of`
ignores it in requests that another origin of the same site has caused, such as a page on another port of this machine.
"""

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import Route

from services.api.shared.context import ApiContext
from throughline.kit.errors import ServiceError
from throughline.store.access.page_sessions import CODE_PREFIX, SESSION_US

PATH = "/v1/session"


def routes() -> list[Route]:
    """The route that opens a session."""
    return [Route(PATH, _open, methods=["POST"])]


async def _open(request: Request) -> Response:
    """Exchange what stands in the header Authorization for a session.

    The header makes any browser ask first before another origin's page may send this, and the answer is no.
    """
    context: ApiContext = request.app.state.context
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not secret or not _is_own_page(request):
        raise ServiceError(
            401,
            "missing_token",
            "send the code of a link, or a token: Authorization: Bearer tlc_...",
            headers={"WWW-Authenticate": 'Bearer realm="throughline"'},
        )
    if secret.startswith(CODE_PREFIX):
        session = await context.database.open_session_by_code(secret)
        if session is None:
            raise ServiceError(
                401,
                "unknown_link",
                "the link was used before or has expired; `throughline token link` prints a new one",
                headers={"WWW-Authenticate": 'Bearer realm="throughline", error="invalid_token"'},
            )
    else:
        token = await context.tokens.find(secret)
        context.rate.take(token)
        if token.questions is not None:
            raise ServiceError(
                403, "other_question", "the token of a shared link opens no session; send it with each question"
            )
        session = await context.database.open_session(token)
    response = Response(status_code=204, headers={"Cache-Control": "no-store"})
    response.set_cookie(
        _cookie_name(request),
        session,
        max_age=SESSION_US // 1_000_000,
        path="/v1",
        secure=request.headers.get("origin", "").startswith("https://"),
        httponly=True,
        samesite="strict",
    )
    return response


def session_of(request: HTTPConnection) -> str | None:
    """The secret of the session in a request of the page itself; None when there is none."""
    return request.cookies.get(_cookie_name(request)) if _is_own_page(request) else None


def _cookie_name(request: HTTPConnection) -> str:
    """By port: cookies belong to a host, and several stacks may run on one."""
    port = request.headers.get("host", "").rpartition(":")[2]
    return f"throughline_{port}" if port.isdigit() else "throughline"


def _is_own_page(request: HTTPConnection) -> bool:
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = request.headers.get("origin")
    # The host only: behind a proxy the scheme is another one.
    return origin is None or origin.partition("://")[2] == request.headers.get("host")
