"""Attributes of a CloudEvent in headers, as the binary mode has them. Pure."""

import re
from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import unquote

_PREFIX = b"ce-"
_QUOTED = re.compile(r'"(.*)"', re.DOTALL)
_MAX_CACHED = 256
"""Maximum number of characters of a value that is cached: nobody may fill the memory with them."""


def attributes_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Returns the attributes in headers: percent-encoded, perhaps in quotes, or plain, as some libraries send them.

    A value may hold what is not Unicode text; `tolerant_json.texts_defect` finds it.
    """
    attributes: dict[str, str] = {}
    for name, value in headers:
        attribute = _attribute(name)
        if attribute is not None:
            try:
                text = value.decode()
            except UnicodeDecodeError:
                text = value.decode("latin-1")
            if "%" in text or '"' in text:
                text = _unescape(text) if len(text) <= _MAX_CACHED else _unescape.__wrapped__(text)
            attributes[attribute] = text
    return attributes


@lru_cache(maxsize=256)
def _attribute(header: bytes) -> str | None:
    return header.removeprefix(_PREFIX).decode("latin-1") if header.startswith(_PREFIX) else None


@lru_cache(maxsize=1024)
def _unescape(text: str) -> str:
    quoted = _QUOTED.fullmatch(text)
    if quoted:
        text = re.sub(r"\\(.)", r"\1", quoted[1])
    return unquote(text, errors="surrogateescape")
