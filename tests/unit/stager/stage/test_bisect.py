"""Halving around records that the database cannot hold."""

from collections.abc import Sequence

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stager.stage.bisect import store_halving


class Database:
    """Holds numbers, but not those in `unstorable`."""

    def __init__(self, unstorable: set[int]) -> None:
        self.unstorable = unstorable
        self.stored: list[int] = []
        self.refused: list[int] = []
        self.attempts = 0

    async def store(self, numbers: Sequence[int]) -> None:
        self.attempts += 1
        if self.unstorable.intersection(numbers):
            raise asyncpg.DataError("cannot hold that")
        self.stored += numbers

    async def refuse(self, number: int, error: Exception) -> None:
        assert isinstance(error, asyncpg.DataError)
        self.refused.append(number)


@given(size=st.integers(1, 60), unstorable=st.sets(st.integers(0, 59), max_size=5))
async def test_all_others_are_stored_in_order_and_each_at_fault_is_refused(size: int, unstorable: set[int]) -> None:
    numbers = list(range(size))
    database = Database(unstorable)
    await store_halving(numbers, database.store, database.refuse)
    assert database.stored == [number for number in numbers if number not in unstorable]
    assert database.refused == [number for number in numbers if number in unstorable]
    assert database.attempts <= 1 + 2 * len(database.refused) * size.bit_length()


async def test_any_other_failure_is_raised_and_what_was_stored_before_stays() -> None:
    database = Database({1})

    async def refuse(number: int, error: Exception) -> None:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        await store_halving([0, 1, 2, 3], database.store, refuse)
    assert database.stored == [0]


async def test_it_ends_after_what_has_just_been_stored_when_asked_to() -> None:
    database = Database({3})
    await store_halving([0, 1, 2, 3], database.store, database.refuse, stopping=lambda: bool(database.stored))
    assert (database.stored, database.refused) == ([0, 1], [])
