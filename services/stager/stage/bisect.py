"""Halving: records are stored together, and one that cannot be stored is found and dealt with alone."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from throughline.store.engine.errors import failure_of

R = TypeVar("R")


def _never() -> bool:
    return False


def is_value_at_fault(error: Exception) -> bool:
    """Whether a value that the database cannot hold is to blame: without it the others can be stored."""
    return failure_of(error) == "data"


async def store_halving(
    records: Sequence[R],
    store: Callable[[Sequence[R]], Awaitable[None]],
    refuse: Callable[[R, Exception], Awaitable[None]],
    *,
    is_at_fault: Callable[[Exception], bool] = is_value_at_fault,
    stopping: Callable[[], bool] = _never,
) -> None:
    """Store records in order, all at once if possible.

    When one of them is at fault, each half is stored apart, and so on down to that record.

    Args:
        records: at least one.
        store: stores some consecutive records, all or none.
        refuse: does without one record, given the error of storing it.
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
            if len(chunk) > 1:
                middle = len(chunk) // 2
                pending += [chunk[middle:], chunk[:middle]]
                continue
            await refuse(chunk[0], error)
        if stopping():
            return
