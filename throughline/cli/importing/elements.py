"""The objects of a JSON file, each as its bytes: of lines, or of one list. Holds one of them at a time."""

import io
import json
from collections.abc import Iterator
from typing import BinaryIO

_PART = 64 * 1024
_MAX_ELEMENT = 16 * 1024 * 1024
_SPACE = " \t\r\n,"


class JsonTooLargeError(ValueError):
    """A member of the list cannot be read."""


def json_elements(opened: BinaryIO, encoding: str, max_line: int) -> Iterator[bytes]:
    """The objects of JSON lines, or of a list, in UTF-8. A line has at most `max_line` bytes; what is longer is cut.

    Raises:
        JsonTooLargeError: a member of a list is larger than 16 MB, or not JSON: then its end is not known.
    """
    if encoding.startswith("utf-8"):
        head = opened.read(3)
        rest = b"" if head == b"\xef\xbb\xbf" else head
        first = rest + opened.readline(max_line)
        while first and not first.strip():
            first = opened.readline(max_line)
        if first.lstrip()[:1] != b"[":
            yield from _lines(first, opened, max_line)
            return
        text = io.TextIOWrapper(opened, "utf-8", "replace")
        beginning = first.decode("utf-8", "replace")
    else:
        text = io.TextIOWrapper(opened, encoding, "replace")
        beginning = text.readline(max_line)
        if beginning.lstrip()[:1] != "[":
            while beginning:
                if beginning.strip():
                    yield beginning.strip().encode()
                beginning = text.readline(max_line)
            text.detach()
            return
    yield from _list_members(beginning.lstrip()[1:], text)
    text.detach()


def _lines(line: bytes, opened: BinaryIO, max_line: int) -> Iterator[bytes]:
    while line:
        if len(line) >= max_line and not line.endswith(b"\n"):
            while (part := opened.readline(max_line)) and not part.endswith(b"\n"):
                pass
        if text := line.strip():
            yield text
        line = opened.readline(max_line)


def _list_members(buffer: str, text: io.TextIOWrapper) -> Iterator[bytes]:
    decoder = json.JSONDecoder()
    size = _PART
    while True:
        buffer = buffer.lstrip(_SPACE)
        if buffer.startswith("]"):
            return
        try:
            _, end = decoder.raw_decode(buffer)
            is_whole = end < len(buffer)
        except ValueError:
            is_whole = False
        except RecursionError:
            raise JsonTooLargeError("a member of the list is nested too deep") from None
        if is_whole:
            yield buffer[:end].encode("utf-8", "replace")
            buffer = buffer[end:]
            size = _PART
            continue
        part = text.read(size)
        size = min(2 * size, _MAX_ELEMENT)
        buffer += part
        if not part or len(buffer) > _MAX_ELEMENT:
            if not part and not buffer.strip(_SPACE):
                return
            raise JsonTooLargeError(f"the list cannot be read from {buffer[:60]!r} on: not JSON, or over 16 MB")
