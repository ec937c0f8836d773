"""The faults that every client goes through: none, refusals, lost answers."""

from collections.abc import Callable

import pytest

from tests.e2e.faulty_proxy import FaultyProxy

Fault = Callable[[FaultyProxy], None]
REFUSED_SECONDS = 10


def healthy(_: FaultyProxy) -> None:
    """Forward everything."""


def refused(proxy: FaultyProxy) -> None:
    """Answer 503 for ten seconds."""
    proxy.refuse(REFUSED_SECONDS)


def dropped(proxy: FaultyProxy) -> None:
    """Lose two answers to events that are acknowledged."""
    proxy.drop(2)


every_fault = pytest.mark.parametrize(
    "fault",
    [healthy, pytest.param(refused, marks=pytest.mark.deep), pytest.param(dropped, marks=pytest.mark.deep)],
    ids=lambda fault: fault.__name__,
)
"""`make test` runs without faults; `make test-deep` runs all three."""
