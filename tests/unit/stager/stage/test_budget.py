"""The budget of a transaction: rows and time, whichever ends first."""

from services.stager.stage.budget import Budget, Limits


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_rows_are_spent() -> None:
    budget = Budget(Limits(rows_read=10, rows_written=5, seconds=1.0), Clock())
    assert budget.has_room(read=10, written=5)
    assert not budget.has_room(read=11)
    assert not budget.has_room(written=6)
    budget.spend(read=4)
    budget.spend(written=5)
    assert budget.has_room(read=6)
    assert not budget.has_room(read=7)
    assert not budget.has_room(written=1)
    assert budget.rows_to_read == 6


def test_time_ends_it() -> None:
    clock = Clock()
    budget = Budget(Limits(seconds=1.0), clock)
    clock.now += 0.9
    assert budget.has_room(read=1)
    clock.now += 0.1
    assert not budget.has_room()
