"""The shipped event name that a name no vocabulary knows was most likely meant to be. Pure.

A misspelling leaves out, adds, swaps or changes up to two characters, has the words in another order, or another
ending (`Product View`).
"""

import re
from collections.abc import Iterator
from functools import cache, lru_cache

from throughline.journey.model import normalise
from throughline.models.loader import vocabulary

MAX_NAME = 40
"""Maximum number of characters of a name that gets a hint."""

_SHORT, _LONG = 6, 10
"""Number of characters from which on one and two of them may be missing on either side: shorter names are too alike."""
_WORDS = re.compile(r"[A-Z]?[^\W_A-Z]+|[A-Z]+")
_ENDING = re.compile(r"(?:ing|ed|es|e|s|d)$")


@lru_cache(maxsize=4096)
def is_shipped(name: str) -> bool:
    """Whether the shipped vocabulary has a name, whatever its case and punctuation."""
    return normalise(name) in _titles()


@lru_cache(maxsize=4096)
def hint(name: str) -> str | None:
    """Returns the shipped name that another one was meant to be; None if that is shipped itself, or like none."""
    normal = normalise(name)
    if len(name) > MAX_NAME or len(normal) < _SHORT:
        return None
    index = _index()
    if index.get(normal) == normal:
        return None
    keys = (_key_of_words(name), *_shortened(normal))
    nearest = next((index[key] for key in keys if key in index), None)
    return None if nearest is None else _titles()[nearest]


@cache
def _index() -> dict[str, str]:
    """Returns all keys under which a shipped name is found -> its normal form."""
    index = {normal: normal for normal in _titles()}
    for normal, title in _titles().items():
        if len(normal) >= _SHORT:
            for key in (_key_of_words(title), *_shortened(normal)):
                index.setdefault(key, normal)
    return index


@cache
def _titles() -> dict[str, str]:
    """Returns the normal form of each shipped name -> the name as people write it."""
    names = (name for kind in vocabulary().values() for name in kind.names)
    return {normalise(name): name if "/" in name else name.replace("_", " ").title() for name in names}


def _key_of_words(name: str) -> str:
    return " ".join(sorted(_ENDING.sub("", word.lower()) for word in _WORDS.findall(name)))


def _shortened(normal: str) -> Iterator[str]:
    """Returns a name, it without each of its characters, and a long one also without each two of them."""
    yield normal
    once = [normal[:place] + normal[place + 1 :] for place in range(len(normal))]
    yield from once
    if len(normal) >= _LONG:
        for place, shorter in enumerate(once):
            for second in range(place, len(shorter)):
                yield shorter[:second] + shorter[second + 1 :]
