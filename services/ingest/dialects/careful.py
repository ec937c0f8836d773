"""Bodies and events that are out of the ordinary, read slowly and exactly. Pure.

The fast decoder answers for a whole body; here each event gets its own answer: NaN, lone surrogates, NUL, text that is
not UTF-8, numbers no float holds, nesting without end.
"""

import json
import math
from typing import Any

import msgspec

from services.ingest.verdict import MAX_DEPTH, Verdict
from throughline.kit.errors import ServiceError

MAX_DIGITS = 4300
"""Digits of an integer: Python's own limit, because what reads them takes time squared."""


def load(body: bytes) -> Any:
    """The JSON value of a body, taking NaN, lone surrogates and stray bytes for `defect` to find.

    Raises:
        ServiceError: 400, naming where the JSON ends to be JSON.
    """
    text = body.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    try:
        return json.loads(text, parse_int=_integer)
    except json.JSONDecodeError as error:
        raise ServiceError(
            400,
            "unreadable_json",
            f"the body is not JSON: {error.msg} at line {error.lineno}, column {error.colno} (character {error.pos})",
        ) from None
    except RecursionError:
        raise ServiceError(400, "nested_too_deeply", "the body is nested too deeply to be read") from None


def dump(value: Any) -> bytes:
    """A loaded value as JSON again, byte for byte where its text was not UTF-8."""
    try:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return json.dumps(value, separators=(",", ":")).encode()


def defect(event: Any) -> Verdict | None:
    """Why an event can not be kept, naming the field, or None. Looks at every key and value."""
    stack: list[tuple[str, int, Any]] = [("", 1, event)]
    while stack:
        path, depth, value = stack.pop()
        if depth > MAX_DEPTH:
            return Verdict("rejected", "nested_too_deeply", path, f"more than {MAX_DEPTH} levels of nesting")
        if isinstance(value, dict):
            for key, inner in value.items():
                found = _text_defect(path, key)
                if found is not None:
                    return found
                stack.append((f"{path}.{key}" if path else key, depth + 1, inner))
        elif isinstance(value, list):
            stack.extend((f"{path}[{number}]", depth + 1, inner) for number, inner in enumerate(value))
        elif isinstance(value, str):
            found = _text_defect(path, value)
            if found is not None:
                return found
        elif isinstance(value, float) and not math.isfinite(value):
            return Verdict("rejected", "number_out_of_range", path, "NaN, infinite or too large a number")
    return None


def may_be_deep(text: bytes) -> bool:
    """Whether JSON opens more than `MAX_DEPTH` objects and lists, which it has to for being nested as deeply."""
    # Taking them out takes a fifth of the time that counting them does.
    return len(text) - len(text.replace(b"{", b"").replace(b"[", b"")) > MAX_DEPTH


def texts_defect(texts: dict[str, str]) -> Verdict | None:
    """`defect` of an object of texts, quickly when there is none."""
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
    """`dump` of an object of texts."""
    try:
        return msgspec.json.encode(texts)
    except UnicodeEncodeError:
        return dump(texts)


def _text_defect(path: str, text: str) -> Verdict | None:
    if "\0" in text:
        return Verdict("rejected", "nul_character", path, "a NUL character can not be stored; leave it out")
    try:
        text.encode()
    except UnicodeEncodeError:
        return Verdict("rejected", "invalid_unicode", path, "not Unicode text: a lone surrogate or bytes not in UTF-8")
    return None


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MAX_DIGITS else math.inf
