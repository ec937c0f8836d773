"""The verdict on one event, the limits that events have to keep, and the ids that can be no customer's. Pure."""

from typing import Any, NamedTuple, NoReturn

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
MAX_DEPTH = 400
"""Maximum number of levels of nesting in one event."""

ILLEGAL_IDS = frozenset(
    {
        "",
        "0",
        "-1",
        "null",
        "(null)",
        "nil",
        "none",
        "nan",
        "undefined",
        "unknown",
        "unknown?",
        "true",
        "false",
        "guest",
        "anonymous",
        "[object object]",
        "{}",
        "[]",
        '""',
        "''",
        "n/a",
        "not_authenticated",
        "distinct_id",
        "distinctid",
        "00000000-0000-0000-0000-000000000000",
    }
)
"""Values that broken integrations send in place of an id, trimmed and in lower case: as a customer, each would be
thousands of strangers at once."""


class Verdict(NamedTuple):
    """Why one event is not simply ok; an event that is has no verdict."""

    status: str
    """`warning`, `rejected` or `dropped`."""
    code: str
    """Stable, snake_case."""
    field: str
    """The field at fault, "" when there is none."""
    message: str


UNREADABLE = Verdict("rejected", "unreadable", "", "the event can not be read")


def answer_of(verdict: Verdict | None) -> dict[str, str]:
    """Returns what the answer to a request says of one event."""
    if verdict is None:
        return {"verdict": "ok"}
    status, code, field, message = verdict
    return {"verdict": status, "code": code, "field": field, "message": message}


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


def warning(code: str, field: str, message: str) -> Verdict:
    """Returns the verdict on an event that is kept although something in it was mended or left out."""
    return Verdict("warning", code, field, message)


def read_id(value: Any, field: str, warnings: list[Verdict]) -> str:
    """Returns an id as text, "" when none was sent.

    Numbers become text; a placeholder (see `ILLEGAL_IDS`) is left out with a warning.

    Raises:
        RejectedError: an object or a list, or longer than `MAX_TEXT`.
    """
    if value is None or value == "":
        return ""
    if isinstance(value, bool):
        text = "true" if value else "false"
    elif isinstance(value, str):
        text = value
    elif isinstance(value, int):
        text = str(value)
    elif isinstance(value, float):
        text = str(int(value)) if value.is_integer() else repr(value)
    else:
        reject("wrong_type", field, f"{field} has to be text or a number, got {json_type(value)}")
    if len(text) > MAX_TEXT:
        reject("too_long", field, f"{field} has {len(text)} characters, {MAX_TEXT} are allowed")
    if text.strip().lower() in ILLEGAL_IDS:
        warnings.append(warning("illegal_id", field, f"{text!r} is a placeholder, not an id; {field} was left out"))
        return ""
    return text


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
