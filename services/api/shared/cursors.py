"""Cursors: opaque positions in a list, base64url of a small JSON array `[tag, [fields]]`."""

import base64
import binascii
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from throughline.kit.errors import ServiceError

# A NamedTuple of int, str and bytes.
C = TypeVar("C", bound=tuple[int | str | bytes, ...])
T = TypeVar("T")

_BIGINT = 2**63


class CursorCodec(Generic[C]):
    """Writes and reads the cursors of one list.

    Args:
        tag: names the list, so that the cursor of another list is refused.
        position: the NamedTuple that tells the place of an item in the list.
        parameter: the query parameter that takes it.
    """

    def __init__(self, tag: str, position: type[C], *, parameter: str = "cursor") -> None:
        self._tag = tag
        self._position = position
        self._parameter = parameter

    def encode(self, position: C) -> str:
        """The text that a client sends back to get the items after `position`."""
        raw = msgspec.json.encode((self._tag, position))
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    def decode(self, text: str | None) -> C | None:
        """The position in a client's text; None, for the first page, when the client sent none.

        Raises:
            ServiceError: 400 `bad_cursor`: the text is not a cursor of this list.
        """
        if text is None:
            return None
        try:
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            tag, fields = msgspec.json.decode(raw, type=tuple[str, msgspec.Raw])
            position: C = msgspec.json.decode(fields, type=self._position)
        except (binascii.Error, ValueError, msgspec.DecodeError):
            raise bad_cursor(self._parameter) from None
        if tag != self._tag or not all(_is_storable(value) for value in position):
            raise bad_cursor(self._parameter)
        return position


def _is_storable(value: int | str | bytes) -> bool:
    """Whether PostgreSQL can compare the value: its text holds no NUL, its integers are of 64 bits."""
    if isinstance(value, int):
        return -_BIGINT <= value < _BIGINT
    return not (isinstance(value, str) and "\0" in value)


def bad_cursor(parameter: str = "cursor") -> ServiceError:
    """The error for a cursor that no page of the list gave."""
    return ServiceError(
        400,
        "bad_cursor",
        f"{parameter} is not one this list gave; leave it out to start from the first page",
        field=parameter,
    )


def split_page(rows: Sequence[T], limit: int) -> tuple[Sequence[T], T | None]:
    """The first `limit` rows, and the last of these if there are further rows: the next page starts after it.

    Args:
        rows: up to `limit + 1` rows.
        limit: the size of a page.
    """
    page = rows[:limit]
    return page, (page[-1] if len(rows) > limit else None)
