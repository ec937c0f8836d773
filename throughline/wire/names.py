"""The ids that a rejected event may hold, whatever its dialect, and however broken it is. Pure.

A rejected event is text that nobody could read, so every quoted text and every word in it may be an id.
"""

import json
import re
import unicodedata
from typing import NamedTuple
from urllib.parse import unquote_plus

from throughline.wire.codec import named_by

MAX_TEXTS = 20_000
"""Maximum number of texts of one event that are looked at."""
MAX_ID = 512
"""Maximum number of characters of an id."""
_TEXT = re.compile(rb'"((?:[^"\\]|\\.)*+)"|([^\s"\',:;&=?{}\[\]<>()|]+)', re.DOTALL)
_WHOLE = re.compile(r"-?\d+\.0+")


class Names(NamedTuple):
    """What may be ids in a rejected event."""

    workspace: int
    """0: the payload does not say."""
    names: set[str]


def names_in(payload: bytes) -> Names:
    """Returns all texts of a payload that may be ids; of a record of the log those of its fields."""
    record = named_by(payload)
    if record is not None:
        return Names(record[0], set(record[1]))
    names: set[str] = set()
    for number, match in enumerate(_TEXT.finditer(payload)):
        if number == MAX_TEXTS:
            break
        quoted, word = match.groups()
        names |= _forms(_unquoted(quoted) if word is None else unquote_plus(word.decode(errors="replace")))
    return Names(0, names)


def clean_name(text: str) -> str:
    """Returns an id as a person types it in the form in which ingest takes it."""
    return unicodedata.normalize("NFC", text.strip()).strip()


def _unquoted(quoted: bytes) -> str:
    text = quoted.decode(errors="replace")
    if "\\" not in text:
        return text
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:
        return text


def _forms(text: str) -> set[str]:
    """Returns a text as ingest takes it for an id: trimmed, in NFC, a whole number without its fraction."""
    text = clean_name(text)
    if not text or len(text) > MAX_ID or any("\ud800" <= character <= "\udfff" for character in text):
        return set()
    forms = {text, text.lower()} if "@" in text else {text}
    if _WHOLE.fullmatch(text):
        forms.add(text.partition(".")[0])
    return forms
