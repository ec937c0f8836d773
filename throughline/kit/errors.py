"""One error a service can answer with, and its problem details (RFC 9457).

ServiceError
 └─ (status, code, message, field): `code` is stable and snake_case, `message` names the fault and the fix.
"""

from typing import Any

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    422: "Unprocessable",
    429: "Too many requests",
    431: "Request header fields too large",
    503: "Unavailable",
}


class ServiceError(Exception):
    """Something the caller is told: an HTTP status, a stable code, a sentence, perhaps the field at fault."""

    def __init__(
        self, status: int, code: str, message: str, *, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.field = field
        self.headers = headers or {}

    def problem(self) -> dict[str, Any]:
        """The body of the answer, for `application/problem+json`."""
        body: dict[str, Any] = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "detail": self.message,
        }
        if self.field:
            body["field"] = self.field
        return body
