"""What is said about each event, the limits it is measured by, and which ids can be a customer. Pure."""

from typing import Any, NamedTuple, NoReturn

MAX_BODY_BYTES = 500 * 1024
"""Of a request's body once unpacked."""
MAX_EVENT_BYTES = 32 * 1024
MAX_EVENTS = 2_500
MAX_MESSAGE_ID = 100
"""Characters."""
MAX_TEXT = 512
"""Characters of an id, an event's name or a typed text property."""
MAX_DEPTH = 400
"""Levels of nesting in one event."""

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
"""What broken integrations send in place of an id (compared trimmed and in lower case): as a customer, each of them
would glue thousands of strangers together."""


class Verdict(NamedTuple):
    """`verdict` is warning, rejected or dropped; an event that is simply ok has none."""

    verdict: str
    code: str
    field: str
    message: str


class RefusedError(Exception):
    """One event is refused. Carries its verdict."""

    def __init__(self, code: str, field: str, message: str) -> None:
        super().__init__(message)
        self.verdict = Verdict("rejected", code, field, message)


class DroppedError(Exception):
    """One event is dropped: nothing of it is kept. Carries its verdict, and the name it is counted by ("": by none)."""

    def __init__(self, code: str, field: str, message: str, name: str) -> None:
        super().__init__(message)
        self.verdict = Verdict("dropped", code, field, message)
        self.name = name


def refuse(code: str, field: str, message: str) -> NoReturn:
    """Refuse the event at hand.

    Raises:
        RefusedError: always.
    """
    raise RefusedError(code, field, message)


def warning(code: str, field: str, message: str) -> Verdict:
    """The event is taken, and something about it was mended or left out."""
    return Verdict("warning", code, field, message)


def read_id(value: Any, field: str, notes: list[Verdict]) -> str:
    """An id as the rest of the system holds it: text; "" when it was not given or can not be one.

    Numbers become text; a placeholder (see `ILLEGAL_IDS`) is left out with a warning.

    Raises:
        RefusedError: an object or a list, or longer than `MAX_TEXT`.
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
        refuse("wrong_type", field, f"{field} has to be text or a number, got {json_type(value)}")
    if len(text) > MAX_TEXT:
        refuse("too_long", field, f"{field} has {len(text)} characters, {MAX_TEXT} are allowed")
    if text.strip().lower() in ILLEGAL_IDS:
        notes.append(warning("illegal_id", field, f"{text!r} is a placeholder, not an id; {field} was left out"))
        return ""
    return text


def json_type(value: Any) -> str:
    """What JSON calls the type of a decoded value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "text"
    return "a list" if isinstance(value, list) else "an object"
