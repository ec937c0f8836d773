"""The verdict on one event, and the limits that events have to keep. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn

import msgspec

MAX_BODY_BYTES = 500 * 1024
"""Maximum number of bytes of a request's body, unpacked."""
MAX_EVENT_BYTES = 32 * 1024
"""Maximum number of bytes of one event, unless its dialect allows more."""
MAX_EVENTS = 2_500
"""Maximum number of events of one request."""
MAX_MESSAGE_ID = 100
"""Maximum number of characters of a message id."""
MAX_TEXT = 512
"""Maximum number of characters of an id, an event's name or a typed text property."""
MAX_FAULTS = 20
"""Maximum number of faults that a verdict names: an event may have one for every few bytes."""
MAX_OTHER_FAULTS = 2_500
"""Maximum number of faults, beside the first of each event, that the answer to one request names."""
MAX_DEPTH = 400
"""Maximum number of levels of nesting in one event."""


class Verdict(NamedTuple):
    """Why one event is not simply ok; an event that is has no verdict."""

    status: str
    """`warning`, `rejected` or `dropped`."""
    code: str
    """Stable, snake_case."""
    field: str
    """The field at fault, "" when there is none."""
    message: str
    others: "tuple[Verdict, ...]" = ()
    """What else is wrong with the event, or was mended in it, without `others` of their own."""


UNREADABLE = Verdict("rejected", "unreadable", "", "the event can not be read")


def answer_of(verdict: Verdict | None) -> dict[str, Any]:
    """Returns what the answer to a request says of one event."""
    if verdict is None:
        return {"verdict": "ok"}
    status, code, field, message, others = verdict
    answer: dict[str, Any] = {"verdict": status, "code": code, "field": field, "message": message}
    if others:
        answer["others"] = [answer_of(other) for other in others]
    return answer


def rejected_for(verdict: Verdict) -> "RejectedError":
    """Returns the error that carries a verdict."""
    error = RejectedError(*verdict[1:4])
    error.verdict = verdict
    return error


class RejectedError(Exception):
    """One event is rejected. Carries its verdict."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.verdict = Verdict("rejected", code, field, message)


class DroppedError(Exception):
    """Nothing is kept of one event. Carries its verdict, and the name by which it is counted, "" for none."""

    def __init__(self, code: str, field: str, message: str, name: str) -> None:
        super().__init__(message)
        self.verdict = Verdict("dropped", code, field, message)
        self.name = name


def reject(code: str, field: str, message: str) -> NoReturn:
    """Reject the event that is being read.

    Raises:
        RejectedError: always.
    """
    raise RejectedError(code, field, message)


def faults_among(checks: Iterable[Callable[[], object]]) -> list[Verdict]:
    """Returns why an event is rejected by each of some checks. What one of them cannot decode says so elsewhere."""
    faults: list[Verdict] = []
    for check in checks:
        try:
            check()
        except RejectedError as error:
            faults.append(error.verdict)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
    return faults


def warning(code: str, field: str, message: str) -> Verdict:
    """Returns the verdict on an event that is kept although something in it was mended or left out."""
    return Verdict("warning", code, field, message)


def json_type(value: Any) -> str:
    """Returns what JSON calls the type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
