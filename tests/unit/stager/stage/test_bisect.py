"""Halving around records that the database cannot hold."""

from collections.abc import Mapping, Sequence

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.stager.stage.bisect import halves, halves_of_parts, store_halving

NUMBERS: Sequence[int] = range(4)


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

    async def refuse(self, numbers: Sequence[int], error: Exception) -> None:
        assert isinstance(error, asyncpg.DataError)
        (number,) = numbers
        self.refused.append(number)


@given(size=st.integers(1, 60), unstorable=st.sets(st.integers(0, 59), max_size=5))
async def test_all_others_are_stored_in_order_and_each_at_fault_is_refused(size: int, unstorable: set[int]) -> None:
    numbers: Sequence[int] = range(size)
    database = Database(unstorable)
    await store_halving(numbers, database.store, database.refuse, halves_of=halves)
    assert database.stored == [number for number in numbers if number not in unstorable]
    assert database.refused == [number for number in numbers if number in unstorable]
    assert database.attempts <= 1 + 2 * len(database.refused) * size.bit_length()


async def test_any_other_failure_is_raised_and_what_was_stored_before_stays() -> None:
    database = Database({1})

    async def refuse(numbers: Sequence[int], error: Exception) -> None:
        raise ConnectionError("away")

    with pytest.raises(ConnectionError):
        await store_halving(NUMBERS, database.store, refuse, halves_of=halves)
    assert database.stored == [0]


async def test_it_ends_after_what_has_just_been_stored_when_asked_to() -> None:
    database = Database({3})
    await store_halving(
        NUMBERS, database.store, database.refuse, halves_of=halves, stopping=lambda: bool(database.stored)
    )
    assert (database.stored, database.refused) == ([0, 1], [])


@given(
    sizes=st.dictionaries(st.integers(0, 7), st.integers(1, 20), min_size=1),
    unstorable=st.sets(st.tuples(st.integers(0, 7), st.integers(0, 19)), max_size=4),
)
async def test_of_several_partitions_one_is_found_first_and_then_its_record(
    sizes: dict[int, int], unstorable: set[tuple[int, int]]
) -> None:
    parts: Mapping[int, Sequence[int]] = {partition: range(size) for partition, size in sizes.items()}
    stored: dict[int, list[int]] = {partition: [] for partition in parts}
    refused: list[tuple[int, int]] = []
    attempts = 0

    async def store(chunk: Mapping[int, Sequence[int]]) -> None:
        nonlocal attempts
        attempts += 1
        if any((partition, record) in unstorable for partition, records in chunk.items() for record in records):
            raise asyncpg.DataError("cannot hold that")
        for partition, records in chunk.items():
            stored[partition] += records

    async def refuse(chunk: Mapping[int, Sequence[int]], _: Exception) -> None:
        ((partition, (record,)),) = chunk.items()
        refused.append((partition, record))

    await store_halving(parts, store, refuse, halves_of=halves_of_parts)
    at_fault = {(partition, record) for partition, record in unstorable if record < sizes.get(partition, 0)}
    assert set(refused) == at_fault
    assert stored == {
        partition: [record for record in records if (partition, record) not in at_fault]
        for partition, records in parts.items()
    }
    assert attempts <= 1 + 2 * len(refused) * (len(sizes).bit_length() + max(sizes.values()).bit_length())
