"""What every client is put through."""

from collections.abc import Callable

import pytest

from tests.e2e.fault import Fault

Trouble = Callable[[Fault], None]
REFUSED_SECONDS = 10


def healthy(_: Fault) -> None:
    """Nothing goes wrong."""


def refused(fault: Fault) -> None:
    """Ten seconds of 503."""
    fault.refuse(REFUSED_SECONDS)


def dropped(fault: Fault) -> None:
    """Answers lost, events acknowledged."""
    fault.drop(2)


every_trouble = pytest.mark.parametrize(
    "trouble",
    [healthy, pytest.param(refused, marks=pytest.mark.deep), pytest.param(dropped, marks=pytest.mark.deep)],
    ids=lambda trouble: trouble.__name__,
)
"""`make test` has the healthy way; `make test-deep` all three."""
