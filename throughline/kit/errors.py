"""One error a service can answer with: its codes, once for all services, and its problem details (RFC 9457).

`problems.py` makes HTTP answers of it.
"""

from typing import Annotated, Literal, NotRequired, TypedDict

from msgspec import Meta

ProblemCode = Literal[
    # Any service.
    "not_found",
    "method_not_allowed",
    "http_error",
    "internal_error",
    # A request to ingest that cannot be read.
    "body_too_large",
    "duplicate_column",
    "empty_body",
    "incomplete_body",
    "invalid_unicode",
    "missing_column",
    "nested_too_deeply",
    "nul_character",
    "number_out_of_range",
    "too_large",
    "too_many_events",
    "unknown_option",
    "unknown_time_zone",
    "unreadable_data",
    "unreadable_gzip",
    "unreadable_json",
    "wrong_header",
    "wrong_type",
    # A request to ingest that is not allowed.
    "invalid_signature",
    "invalid_write_key",
    "operator_secret_needed",
    "origin_not_allowed",
    "signature_needed",
    "source_disabled",
    "unknown_write_key",
    "webhook_secret_not_set",
    "webhook_secret_unreadable",
    # A request to ingest that comes too slowly, too often or at a bad moment.
    "headers_too_large",
    "keys_unavailable",
    "rate_limited",
    "slow_body",
    "slow_headers",
    "too_many_connections",
    "unavailable",
    # A question to the api.
    "bad_cursor",
    "database_away",
    "expired_token",
    "insufficient_scope",
    "invalid_parameter",
    "log_away",
    "missing_parameter",
    "missing_token",
    "no_model",
    "other_question",
    "not_computed_yet",
    "not_shared",
    "repeated_parameter",
    "restage_needed",
    "stopping",
    "too_many_statements",
    "too_many_exports",
    "too_many_annotations",
    "too_many_shares",
    "too_many_streams",
    "too_slow",
    "withheld",
    "unknown_customer",
    "unknown_annotation",
    "unknown_link",
    "unknown_erasure",
    "unknown_model",
    "unknown_parameter",
    "unknown_phase",
    "unknown_request",
    "unknown_share",
    "unknown_source",
    "unknown_token",
]
"""Every code of a request that failed as a whole. Codes may be added, never changed: programs rely on them. The codes
of single events (those of a verdict) are ingest's."""

TITLES = {
    400: "Bad request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not found",
    405: "Method not allowed",
    406: "Not acceptable",
    408: "Request timeout",
    409: "Conflict",
    422: "Unprocessable",
    429: "Too many requests",
    431: "Request header fields too large",
    503: "Unavailable",
}


class ProblemDetails(TypedDict):
    """The body of an answer of type `application/problem+json`.

    RFC 9457 defines `type`, `title`, `status` and `detail`; `code`, `message` (the same as `detail`) and `field` are
    extensions.
    """

    type: Annotated[str, Meta(examples=["about:blank"])]
    title: Annotated[str, Meta(examples=["Bad request"])]
    status: Annotated[int, Meta(examples=[400])]
    code: Annotated[ProblemCode, Meta(description="stable, for programs", examples=["unknown_phase"])]
    message: Annotated[str, Meta(description="for people: the fault and the fix")]
    detail: Annotated[str, Meta(description="the same as message")]
    field: NotRequired[Annotated[str, Meta(description="the parameter at fault", examples=["phase"])]]


class ServiceError(Exception):
    """A request fails as a whole, with an HTTP status, a stable code, and a message that names the fault and the fix.

    `field` names the parameter, header or member at fault, if there is one.
    """

    def __init__(
        self, status: int, code: ProblemCode, message: str, *, field: str = "", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code: ProblemCode = code
        self.message = message
        self.field = field
        self.headers = headers or {}

    def problem(self) -> ProblemDetails:
        """The problem details, to be encoded as JSON."""
        details: ProblemDetails = {
            "type": "about:blank",
            "title": TITLES.get(self.status, "Error"),
            "status": self.status,
            "code": self.code,
            "message": self.message,
            "detail": self.message,
        }
        if self.field:
            details["field"] = self.field
        return details
