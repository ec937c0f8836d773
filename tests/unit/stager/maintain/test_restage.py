"""A chunk of a restage is as large as its time allows."""

import pytest

from services.stager.maintain.restage import CUSTOMERS, FEWEST_CUSTOMERS, SECONDS, next_customers


@pytest.mark.parametrize(
    ("customers", "seconds", "following"),
    [
        (CUSTOMERS, 0.0, CUSTOMERS),
        (CUSTOMERS, 2 * SECONDS, CUSTOMERS // 2),
        (100, SECONDS, 100),
        (100, SECONDS / 1.5, 150),
        (100, SECONDS / 10, 200),
        (FEWEST_CUSTOMERS, 100.0, FEWEST_CUSTOMERS),
    ],
)
def test_the_next_chunk(customers: int, seconds: float, following: int) -> None:
    assert next_customers(customers, seconds) == following
