"""Buffered observations arrive in a histogram as if each had been observed there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Histogram

from throughline.kit.metrics import HistogramBuffer

BOUNDS = (0.5, 1.0, 2.5)
_VALUES = st.sampled_from((0.0, *BOUNDS, 1e9)) | st.floats(0, 10)


def samples(histogram: Histogram) -> dict[tuple[str, str], float]:
    (metric,) = histogram.collect()
    return {
        (sample.name, sample.labels.get("le", "")): sample.value
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


@given(st.lists(st.lists(_VALUES)))
def test_a_buffer_adds_up_to_the_observations(flushes: list[list[float]]) -> None:
    buffered = Histogram("seconds", "Times.", buckets=BOUNDS, registry=None)
    observed = Histogram("seconds", "Times.", buckets=BOUNDS, registry=None)
    buffer = HistogramBuffer(buffered)
    for values in flushes:
        for value in values:
            buffer.observe(value)
            observed.observe(value)
        buffer.flush()
        assert samples(buffered) == pytest.approx(samples(observed))
