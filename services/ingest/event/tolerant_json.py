"""JSON that the fast decoder does not take, read so that each event gets its own verdict. Pure.

The fast decoder fails for a whole body. This one is slow, and takes NaN, lone surrogates, NUL, bytes that are not
UTF-8, numbers that no float holds, and deep nesting; `defect` then says which event has them.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from services.ingest.event.verdict import MAX_DEPTH, MAX_FAULTS, Verdict, rejected_for, warning
from throughline.kit.errors import ServiceError

MAX_DIGITS = 4300
"""Maximum number of digits of an integer, the same as Python's own: reading takes time squared."""
MAX_PATH = 300
"""Maximum number of characters of a field's path in a verdict: a key may be as long as a body."""

_Place = tuple[Any, str | int] | None
"""The path to a value: that to the object or list around it, and its key in there. A text is made of it only for a
verdict, so that a long key above many values costs nothing."""
_MENDABLE = {"nul_character": "a NUL character", "invalid_unicode": "half a character, or bytes that are not UTF-8"}
_IDS = frozenset({
    "userid", "anonymousid", "previousid", "groupid", "messageid", "orderid", "transactionid", "distinctid",
    "anondistinctid", "alias", "deviceid", "groupkey", "clientid", "appinstanceid", "customerid", "receipt",
    "receiptid", "originalreceipt", "refundof", "loyaltycard", "writekey", "apikey", "token",
})  # fmt: skip
"""Names of members that hold ids or keys, wherever they stand: letters and digits in lower case."""
_PROTOCOL = frozenset({
    "type", "event", "name", "timestamp", "originaltimestamp", "sentat", "receivedat", "time", "uuid", "offset",
    "specversion", "source", "id", "subject", "datacontenttype", "database64", "timestampmicros", "e", "eid", "uid",
    "duid", "tnuid", "nuid", "aid", "sid", "dtm", "stm", "ttm", "seac", "trid", "tiid", "uepx", "cx", "soldat",
    "customer", "kind", "total", "amount", "value", "analyticsconsent",
})  # fmt: skip
"""Names of members at the top of an event that one of the protocols reads, likewise."""
_BROKEN = re.compile(
    r"\\u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"  # a whole character
    r"|(\\u(?:[dD][89a-fA-F][0-9a-fA-F]{2}|0000))|\\.|([\ud800-\udfff\0])",
    re.DOTALL,
)
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
    fault = next(_faults(event), None)
    return None if fault is None else _rejected(fault.code, fault.place, fault.message)


def defects_of(raw: bytes) -> list[Verdict]:
    """Returns every `defect` of an event that is JSON, up to `MAX_FAULTS`; none of one that is not."""
    try:
        faults = _faults(load(raw))
    except ServiceError:
        return []
    return [_rejected(fault.code, fault.place, fault.message) for fault in islice(faults, MAX_FAULTS)]


def mend(raw: bytes, defect: Verdict, warnings: list[Verdict]) -> bytes | None:
    """Returns an event whose text can not be kept with a mark, U+FFFD, in the place of each half character, NUL and
    byte that is not UTF-8, and a warning for each member; None when it can not be mended.

    An id, a name or a time with a mark would be another one, so that these are not mended.
    """
    if defect.code not in _MENDABLE:
        return None
    text = text_of(raw)
    try:
        value = load_text(text)
    except ServiceError:
        return None
    fields: dict[str, str] = {}
    for fault in _faults(value):
        if fault.code not in _MENDABLE or not (fault.is_key or _is_free(fault.place)):
            return None
        if len(fields) < MAX_FAULTS:
            fields.setdefault(_rejected(fault.code, fault.place, "").field, fault.code)
    warnings += [
        warning("mended_text", field, f"{field or 'it'} has {_MENDABLE[code]}; U+FFFD stands in its place")
        for field, code in (fields or {"": "invalid_unicode"}).items()
    ]
    return _BROKEN.sub(lambda match: "\ufffd" if match[1] or match[2] else match[0], text).encode()


class _Fault(NamedTuple):
    """What is wrong with a part of an event."""

    code: str
    place: _Place
    message: str
    is_key: bool = False


def _faults(event: Any) -> Iterator[_Fault]:
    """Returns what is wrong with an event, the parts of each object and list before those inside of them."""
    yield from _part_faults(None, event)
    stack: list[tuple[_Place, int, Any]] = [(None, 1, event)]
    while stack:
        place, depth, value = stack.pop()
        if depth > MAX_DEPTH:
            yield _Fault("nested_too_deeply", place, f"more than {MAX_DEPTH} levels of nesting")
            continue
        named = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in named:
            if isinstance(key, str):
                yield from _part_faults(place, key, is_key=True)
            if isinstance(inner, dict | list):
                stack.append(((place, key), depth + 1, inner))
            elif isinstance(inner, str | float):
                yield from _part_faults((place, key), inner)


def _is_free(place: _Place) -> bool:
    """Whether a text may have a mark in it: it is no id and, at the top of an event, nothing that a protocol reads."""
    while place is not None and isinstance(place[1], int):
        place = place[0]
    if place is None:
        return False
    name = "".join(filter(str.isalnum, str(place[1]))).lower()
    return name not in _IDS and (place[0] is not None or name not in _PROTOCOL)


def may_be_deep(text: bytes) -> bool:
    """Whether JSON has more than `MAX_DEPTH` opening brackets, without which it is not nested too deeply."""
    # Each level takes two. Removing them takes a fifth of the time of counting them.
    return len(text) > 2 * MAX_DEPTH and len(text) - len(text.replace(b"{", b"").replace(b"[", b"")) > MAX_DEPTH


def defect_in(value: Any, text: str) -> Verdict | None:
    """Returns the `defect` of a value, or of the text from which it was loaded: only the text has the first value of a
    name given twice."""
    fault = next(_part_faults(None, text), None)
    return defect(value) or (None if fault is None else _rejected(fault.code, None, fault.message))


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
        raise rejected_for(verdict)


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


def _part_faults(place: _Place, part: Any, *, is_key: bool = False) -> Iterator[_Fault]:
    """Returns why a text or a number can not be kept."""
    if isinstance(part, str):
        if "\0" in part:
            yield _Fault("nul_character", place, "a NUL character can not be stored; leave it out", is_key)
            return
        try:
            part.encode()
        except UnicodeEncodeError:
            message = "not Unicode text: a lone surrogate or bytes not in UTF-8"
            yield _Fault("invalid_unicode", place, message, is_key)
    elif isinstance(part, float) and not math.isfinite(part):
        yield _Fault("number_out_of_range", place, "NaN, infinite or too large a number", is_key)


def _rejected(code: str, place: _Place, message: str) -> Verdict:
    path = ""
    while place is not None:
        place, key = place
        path = f"[{key}]{path}" if isinstance(key, int) else f".{key}{path}"
    # A verdict is sent as JSON: half a character in a name must not spoil it.
    path = path.removeprefix(".").encode("utf-8", "replace").decode()
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
