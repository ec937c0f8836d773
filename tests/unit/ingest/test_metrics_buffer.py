"""Events are counted by source, and the metric stays bounded however many sources there are."""

from collections.abc import Iterator

import pytest

from services.ingest import metrics_buffer
from services.ingest.event.verdict import Verdict
from services.ingest.metrics_buffer import MetricsBuffer
from throughline.kit.metrics import INGEST_REGISTRY, INGEST_SOURCE_EVENTS
from throughline.store.access.keys import SourceKey


@pytest.fixture(autouse=True)
def from_zero() -> Iterator[None]:
    INGEST_SOURCE_EVENTS.clear()
    yield
    INGEST_SOURCE_EVENTS.clear()


def key(number: int, workspace: int = 7) -> SourceKey:
    return SourceKey(b"", number, workspace, f"source-{number}", enabled=True)


def counted(workspace: str, source: str, outcome: str) -> float | None:
    labels = {"workspace": workspace, "source": source, "outcome": outcome}
    return INGEST_REGISTRY.get_sample_value("throughline_ingest_source_events_total", labels)


def total(outcome: str) -> float:
    return INGEST_REGISTRY.get_sample_value("throughline_ingest_events_total", {"outcome": outcome}) or 0.0


def test_verdicts_are_counted_for_their_source_and_in_all() -> None:
    buffer = MetricsBuffer()
    before = {outcome: total(outcome) for outcome in metrics_buffer.STATUSES}
    rejected = Verdict("rejected", "missing_field", "", "")
    buffer.count_events([None, None, rejected], key(1))
    buffer.count_events([None], key(2))
    buffer.flush()
    buffer.flush()
    assert counted("7", "source-1", "ok") == 2
    assert counted("7", "source-1", "rejected") == 1
    assert counted("7", "source-2", "ok") == 1
    assert counted("7", "source-2", "rejected") is None
    assert total("ok") == before["ok"] + 3
    assert total("rejected") == before["rejected"] + 1


def test_sources_beyond_the_limit_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_buffer, "MAX_SOURCES", 2)
    buffer = MetricsBuffer()
    for number in range(10):
        buffer.count_events([None], key(number))
    buffer.flush()
    assert counted("7", "source-1", "ok") == 1
    assert counted("", "(others)", "ok") == 8
    (family,) = INGEST_SOURCE_EVENTS.collect()
    assert len([sample for sample in family.samples if sample.name.endswith("_total")]) == 3
