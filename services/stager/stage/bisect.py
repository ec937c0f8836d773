"""Halving: records are stored together, and one that cannot be stored is found and dealt with alone."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from throughline.store.engine.errors import failure_of

K = TypeVar("K")
R = TypeVar("R")
T = TypeVar("T")


def _never() -> bool:
    return False


def is_value_at_fault(error: Exception) -> bool:
    """Whether a value that the database cannot hold is to blame: without it the others can be stored."""
    return failure_of(error) == "data"


def halves(records: Sequence[R]) -> list[Sequence[R]]:
    """Returns both halves of some records, in order; nothing for a single one."""
    middle = len(records) // 2
    return [records[:middle], records[middle:]] if middle else []


def halves_of_parts(parts: Mapping[K, Sequence[R]]) -> list[Mapping[K, Sequence[R]]]:
    """Returns both halves of the records of several partitions: first by partition, then by record."""
    keys = list(parts)
    if len(keys) > 1:
        return [{key: parts[key] for key in half} for half in halves(keys)]
    return [{key: half} for key in keys for half in halves(parts[key])]


async def store_halving(
    records: T,
    store: Callable[[T], Awaitable[None]],
    refuse: Callable[[T, Exception], Awaitable[None]],
    *,
    halves_of: Callable[[T], Sequence[T]],
    is_at_fault: Callable[[Exception], bool] = is_value_at_fault,
    stopping: Callable[[], bool] = _never,
) -> None:
    """Store records in order, all at once if possible.

    When one of them is at fault, each half is stored apart, and so on down to that record.

    Args:
        records: at least one.
        store: stores some of them, all or none.
        refuse: does without a single record, given the error of storing it.
        halves_of: halves records; gives nothing for a single one.
        is_at_fault: whether an error comes of one of the records, rather than of the database.
        stopping: whether to end after what has just been stored.

    Raises:
        Exception: any other failure of `store` or `refuse`; what was stored before stays.
    """
    pending = [records]
    while pending:
        chunk = pending.pop()
        try:
            await store(chunk)
        except Exception as error:
            if not is_at_fault(error):
                raise
            parts = halves_of(chunk)
            if parts:
                pending += reversed(parts)
                continue
            await refuse(chunk, error)
        if stopping():
            return
