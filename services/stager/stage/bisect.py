"""Halving: records are stored together, and one that the database cannot hold is found and dealt with alone."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from throughline.store.engine.errors import failure_of

R = TypeVar("R")


def _never() -> bool:
    return False


async def store_halving(
    records: Sequence[R],
    store: Callable[[Sequence[R]], Awaitable[None]],
    refuse: Callable[[R, Exception], Awaitable[None]],
    *,
    stopping: Callable[[], bool] = _never,
) -> None:
    """Store records in order, all at once if possible.

    When the database cannot hold a value in them, each half is stored apart, and so on down to the record at fault.

    Args:
        records: at least one.
        store: stores some consecutive records, all or none.
        refuse: does without the value of one record, given the error of storing it.
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
            if failure_of(error) != "data":
                raise
            if len(chunk) > 1:
                middle = len(chunk) // 2
                pending += [chunk[middle:], chunk[:middle]]
                continue
            await refuse(chunk[0], error)
        if stopping():
            return
