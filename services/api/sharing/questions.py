"""Which questions a shared link may ask: about numbers, never for persons or events. Pure."""

from collections.abc import Sequence
from urllib.parse import parse_qsl

from throughline.kit.errors import ServiceError

SHAREABLE = frozenset(
    {
        "/v1/models", "/v1/phases", "/v1/phases/counts", "/v1/phases/history", "/v1/sources", "/v1/channels",
        "/v1/funnel", "/v1/funnel/trend", "/v1/funnel/time", "/v1/flows", "/v1/variants", "/v1/variants/kinds",
        "/v1/abandonment", "/v1/abandonment/phases", "/v1/abandonment/visits", "/v1/abandonment/last",
        "/v1/abandonment/friction",
        "/v1/attribution", "/v1/attribution/paths", "/v1/messages", "/v1/voice", "/v1/voice/reach", "/v1/workspace",
        "/v1/annotations",
    }
)  # fmt: skip
"""Paths whose answers name no person."""
MAX_QUESTIONS = 64
"""Now asks one for each phase of a model, of which there are 50 at most."""
MAX_QUESTION = 2_000
"""Maximum number of characters of a question."""


def check_questions(questions: Sequence[str]) -> None:
    """See that a shared link may ask these.

    Raises:
        ServiceError: 400 `invalid_parameter`.
    """
    for question in questions:
        path, _, query = question.partition("?")
        if path not in SHAREABLE:
            raise _wrong(f"{path[:100]!r} cannot be shared; these can: {', '.join(sorted(SHAREABLE))}")
        try:
            names = {name for name, _ in parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))}
        except ValueError:
            raise _wrong(f"the parameters of {path} cannot be read; write them as in a request") from None
        if "cursor" in names:
            raise _wrong(f"{path}: a shared link has first pages only; leave cursor out")


def _wrong(why: str) -> ServiceError:
    return ServiceError(400, "invalid_parameter", f"questions: {why}", field="questions")
