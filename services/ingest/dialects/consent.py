"""The usual ways to say whether there is consent for analytics, from which dialects make `ConsentSources`. Pure.

Of two answers the refusal counts.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

CATEGORIES = frozenset(
    {
        "analytics",
        "analytical",
        "analyticscookies",
        "analyticsstorage",
        "statistics",
        "statisticscookies",
        "performance",
        "performancecookies",
        "measurement",
        "marketingandanalytics",
        "c0002",
    }
)
"""What consent platforms call analytics: letters and digits, in lower case."""

_WORDS = dict.fromkeys(("granted", "true", "yes", "1"), True) | dict.fromkeys(("denied", "false", "no", "0"), False)
_NO_MEMBERS: Mapping[str, Any] = {}


def parse_answer(value: Any) -> bool | None:
    """Returns what one value answers: a boolean, 0 or 1, or a word such as "granted"."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    return bool(value) if type(value) is int and value in (0, 1) else None


def answers(value: Any) -> Iterator[bool | None]:
    """`parse_answer` as `ConsentSources` has it."""
    yield parse_answer(value)


def category_answers(value: Any) -> Iterator[bool | None]:
    """Returns the answers of an object of categories, as they are or in its member `categoryPreferences`:
    `{"analytics": true}`."""
    categories = as_object(value)
    yield _of_categories(categories)
    yield _of_categories(as_object(categories.get("categoryPreferences")))


def combined(answers: Iterable[bool | None]) -> bool | None:
    """Returns the one answer of several: False if any is, True if any is and none is False, else None."""
    distinct = {*answers}
    return False if False in distinct else True if True in distinct else None


@lru_cache(maxsize=1024)
def is_analytics(category: str) -> bool:
    """Whether a consent platform means analytics by a category's name or id."""
    return "".join(filter(str.isalnum, category.lower())) in CATEGORIES


def as_object(value: Any) -> Mapping[str, Any]:
    """Returns a decoded JSON object as it is, and an empty one for any other value."""
    return value if isinstance(value, dict) else _NO_MEMBERS


def _of_categories(categories: Mapping[str, Any]) -> bool | None:
    return combined(parse_answer(value) for name, value in categories.items() if is_analytics(name))
