"""Strategies for how a log is staged: in which batches of which partitions, and what happens between them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st

from tests.strategies.touchpoints import logs, watermarks
from tests.support.pipeline import PARTITIONS
from throughline.journey import checkpoint
from throughline.journey.touchpoint import Touchpoint


@dataclass(frozen=True)
class Step:
    """The clock moves on to `clock_us`, if it is not None; then `count` records of a partition are staged."""

    partition: int
    count: int
    dies: bool
    """Whether a consumer that does not know of the commit stages them again."""
    clock_us: int | None


@dataclass(frozen=True)
class Case:
    """A log and how it is staged."""

    log: list[Touchpoint]
    steps: list[Step]
    repeated: int
    """Number of the log's first events that are sent again at its end."""
    clock_us: int
    checkpoint_every: int
    """Number of touchpoints between checkpoints."""


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any log, staged in any way."""
    log = draw(logs())
    steps = st.builds(
        Step, st.integers(0, PARTITIONS - 1), st.integers(1, 9), st.booleans(), st.none() | watermarks(log)
    )
    every = draw(st.sampled_from([checkpoint.EVERY, 1, 2, 5]))
    return Case(log, draw(st.lists(steps, max_size=10)), draw(st.integers(0, 30)), draw(watermarks(log)), every)


@contextmanager
def short_checkpoints(case: Case) -> Iterator[None]:
    """Write checkpoints as often as the case says, so that histories as short as a test's have some, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "EVERY", case.checkpoint_every)
        yield
