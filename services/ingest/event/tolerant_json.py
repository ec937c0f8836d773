"""JSON that the fast decoder does not take, read so that each event gets its own verdict. Pure.

The fast decoder fails for a whole body. This one is slow, and takes NaN, lone surrogates, NUL, bytes that are not
UTF-8, numbers that no float holds, and deep nesting; `defect` then says which event has them.
"""

import codecs
import json
import math
import re
from typing import Any

import msgspec
from msgspec import Raw

from services.ingest.event.verdict import MAX_DEPTH, RejectedError, Verdict
from throughline.kit.errors import ServiceError

MAX_DIGITS = 4300
"""Maximum number of digits of an integer, the same as Python's own: reading takes time squared."""
MAX_PATH = 300
"""Maximum number of characters of a field's path in a verdict: a key may be as long as a body."""

_Place = tuple[Any, str | int] | None
"""The path to a value: that to the object or list around it, and its key in there. A text is made of it only for a
verdict, so that a long key above many values costs nothing."""
_ESCAPE = "throughline.escape"
"""Name of the error handler `_escape_surrogates`."""
_SPACE = re.compile(r"[ \t\n\r]*")


def text_of(body: bytes) -> str:
    """Returns a body as text, without a byte order mark; bytes that are not UTF-8 become surrogates."""
    return body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")


def bytes_of(text: str) -> bytes:
    """Returns the bytes of which `text_of` made a text."""
    return text.encode("utf-8", "surrogateescape")


def load(body: bytes) -> Any:
    """Returns the JSON value of a body, which may hold all that `defect` finds.

    Raises:
        ServiceError: 400, with the place at which the body is not JSON.
    """
    return load_text(text_of(body))


def load_text(text: str) -> Any:
    """Returns the same as `load`, of a body that `text_of` has decoded.

    Raises:
        ServiceError: 400, with the place at which the body is not JSON.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise ServiceError(
            400,
            "unreadable_json",
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (character {error.pos})",
        ) from None
    except RecursionError:
        raise ServiceError(400, "nested_too_deeply", "the body is nested too deeply to be read") from None


def members(text: str) -> dict[str, str]:
    """Returns the members of an object, each as its text; of a name given twice, the last. `load_text` must have read
    the text."""
    members: dict[str, str] = {}
    at = _past_space(text, text.index("{") + 1)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        start = _past_space(text, _past_space(text, at) + 1)
        _, at = _DECODER.raw_decode(text, start)
        members[name] = text[start:at]
        at = _past_comma(text, at)
    return members


def dump(value: Any) -> bytes:
    """Returns a loaded value as JSON, with the bytes that were not UTF-8 as they came, and other surrogates escaped."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", _ESCAPE)


def split_list(values: list[Any], text: str) -> tuple[list[Raw], dict[int, Verdict]]:
    """Returns the elements of a list as they were sent, and what is wrong with some of them, by position.

    `values` is the list as `load` has read it from `text`.
    """
    texts = _elements(text)
    defects = (defect_in(value, part) for value, part in zip(values, texts, strict=True))
    return (
        [Raw(bytes_of(part)) for part in texts],
        {position: verdict for position, verdict in enumerate(defects) if verdict is not None},
    )


def _elements(text: str) -> list[str]:
    elements: list[str] = []
    at = _past_space(text, text.index("[") + 1)
    while text[at] != "]":
        start = at
        _, at = _DECODER.raw_decode(text, start)
        elements.append(text[start:at])
        at = _past_comma(text, at)
    return elements


def defect(event: Any) -> Verdict | None:
    """Returns why an event can not be kept, with the path of the member at fault; None when it can. Every key and value
    is checked."""
    fault = _part_defect(None, event)
    if fault is not None:
        return fault
    stack: list[tuple[_Place, int, Any]] = [(None, 1, event)]
    while stack:
        place, depth, value = stack.pop()
        if depth > MAX_DEPTH:
            return _rejected("nested_too_deeply", place, f"more than {MAX_DEPTH} levels of nesting")
        named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in named:
            if isinstance(key, str):
                fault = _part_defect(place, key)
                if fault is not None:
                    return fault
            if isinstance(inner, dict | list):
                stack.append(((place, key), depth + 1, inner))
            elif isinstance(inner, str | float):
                fault = _part_defect((place, key), inner)
                if fault is not None:
                    return fault
    return None


def may_be_deep(text: bytes) -> bool:
    """Whether JSON has more than `MAX_DEPTH` opening brackets, without which it is not nested too deeply."""
    # Removing them takes a fifth of the time of counting them.
    return len(text) - len(text.replace(b"{", b"").replace(b"[", b"")) > MAX_DEPTH


def defect_in(value: Any, text: str) -> Verdict | None:
    """Returns the `defect` of a value, or of the text from which it was loaded: only the text has the first value of a
    name given twice."""
    return defect(value) or _part_defect(None, text)


def defect_of(raw: bytes) -> Verdict | None:
    """Returns the `defect` of an event that is JSON.

    Raises:
        ServiceError: 400, it is not JSON.
    """
    try:
        return defect(load(raw))
    except ServiceError as error:
        if error.code != "nested_too_deeply":
            raise
        return _rejected(error.code, None, f"more than {MAX_DEPTH} levels of nesting")


def reject_defects(raw: bytes | Raw) -> None:
    """Reject an event that holds what can not be kept.

    Raises:
        RejectedError: what `defect_of` returns.
        ServiceError: 400, it is not JSON.
    """
    verdict = defect_of(bytes(raw))
    if verdict is not None:
        raise RejectedError(*verdict[1:])


def texts_defect(texts: dict[str, str]) -> Verdict | None:
    """Returns the `defect` of an object of texts, quickly when there is none."""
    text = "".join([*texts, *texts.values()])
    if "\0" not in text:
        if text.isascii():
            return None
        try:
            text.encode()
        except UnicodeEncodeError:
            pass
        else:
            return None
    return defect(texts)


def dump_texts(texts: dict[str, str]) -> bytes:
    """Returns the same as `dump`, of an object of texts."""
    try:
        return msgspec.json.encode(texts)
    except UnicodeEncodeError:
        return dump(texts)


def _part_defect(place: _Place, part: Any) -> Verdict | None:
    """Returns why a text or a number can not be kept."""
    if isinstance(part, str):
        if "\0" in part:
            return _rejected("nul_character", place, "a NUL character can not be stored; leave it out")
        try:
            part.encode()
        except UnicodeEncodeError:
            return _rejected("invalid_unicode", place, "not Unicode text: a lone surrogate or bytes not in UTF-8")
    elif isinstance(part, float) and not math.isfinite(part):
        return _rejected("number_out_of_range", place, "NaN, infinite or too large a number")
    return None


def _rejected(code: str, place: _Place, message: str) -> Verdict:
    path = ""
    while place is not None:
        place, key = place
        path = f"[{key}]{path}" if isinstance(key, int) else f".{key}{path}"
    path = path.removeprefix(".")
    return Verdict("rejected", code, path if len(path) <= MAX_PATH else f"{path[:MAX_PATH]}...", message)


def _past_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None  # the pattern matches the empty text too
    return match.end()


def _past_comma(text: str, at: int) -> int:
    """Returns the position behind a value and its comma: that of the next value, or of the closing bracket."""
    at = _past_space(text, at)
    return _past_space(text, at + 1) if text[at] == "," else at


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf


def _escape_surrogates(error: UnicodeError) -> tuple[bytes, int]:
    """Writes the surrogates of `text_of` as the bytes that they stand for, and all others as escapes of JSON, because
    surrogates stand between quotes only."""
    assert isinstance(error, UnicodeEncodeError)
    codes = (ord(sign) for sign in error.object[error.start : error.end])
    return b"".join(
        bytes((code - 0xDC00,)) if 0xDC80 <= code <= 0xDCFF else b"\\u%04x" % code for code in codes
    ), error.end


codecs.register_error(_ESCAPE, _escape_surrogates)
_DECODER = json.JSONDecoder(parse_int=_integer)
