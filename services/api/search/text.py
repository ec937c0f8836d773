"""What a typed text means as the beginning of an id. Pure."""

import string
from typing import NamedTuple

from throughline.wire.names import MAX_ID, clean_name

_LAST, _BEFORE_SURROGATES, _AFTER_SURROGATES = "\U0010ffff", "\ud7ff", "\ue000"
_SMALL = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)


class KeyRange(NamedTuple):
    """The keys of the ids that begin with a text: `first` and after, and before `end` (None: no end)."""

    first: str
    end: str | None


def key_of(name: str) -> str:
    """The key of an id in the index: A to Z as small letters, all else as it is, as PostgreSQL's lower() of C does."""
    return name.translate(_SMALL)


def key_ranges(text: str) -> list[KeyRange]:
    """The ranges of keys of the ids that begin with a text in any case; none for a text that no id begins with.

    Letters beyond A to Z are looked for as typed, all small, all capital, and capitals at the beginnings of words.
    """
    name = clean_name(text)
    if not name or len(name) > MAX_ID:
        return []
    forms = [name] if name.isascii() else [name, name.lower(), name.upper(), name.title()]
    return [KeyRange(key, _after(key)) for key in dict.fromkeys(map(key_of, forms))]


def _after(key: str) -> str | None:
    """The first text after all that begin with a key, in the order of code points."""
    rest = key.rstrip(_LAST)
    if not rest:
        return None
    last = rest[-1]
    return rest[:-1] + (_AFTER_SURROGATES if last == _BEFORE_SURROGATES else chr(ord(last) + 1))
