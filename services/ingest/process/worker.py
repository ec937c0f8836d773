"""What a worker does besides its requests: it sums the metrics of all workers, and ends when its supervisor is gone."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from throughline.kit.metrics import INGEST_REGISTRY
from throughline.kit.process import is_running

PARENT_CHECK_SECONDS = 1.0


class _IngestCollector(Collector):
    """Collects the metrics of ingest, each as the sum over all workers."""

    def __init__(self) -> None:
        # The folder also has what stager and api declare in the same module.
        self._names = {metric.name for metric in INGEST_REGISTRY.collect()}
        self._all_metrics = MultiProcessCollector(None)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        _remove_gauges_of_dead_workers(Path(self._all_metrics._path))
        for metric in self._all_metrics.collect():  # type: ignore[no-untyped-call]
            if metric.name in self._names:
                yield metric
        yield from _process_metrics(Path(self._all_metrics._path))


def worker_metrics() -> CollectorRegistry:
    """Returns a registry that reads the metrics of all workers, as they are now."""
    registry = CollectorRegistry()
    registry.register(_IngestCollector())
    return registry


def _process_metrics(folder: Path) -> Iterator[Metric]:
    """Yields `process_*` of all workers together: sums, and the start of the oldest."""
    families: dict[str, Metric] = {}
    values: dict[str, list[float]] = {}
    for pid in _live_workers(folder):
        for metric in ProcessCollector(pid=partial(int, pid), registry=None).collect():
            families[metric.name] = metric
            values.setdefault(metric.name, []).append(metric.samples[0].value)
    for name, metric in families.items():
        together = min(values[name]) if name == "process_start_time_seconds" else sum(values[name])
        metric.samples = [metric.samples[0]._replace(value=together)]
        yield metric


def _live_workers(folder: Path) -> set[int]:
    # Every worker has gauges, from its start on.
    return {pid for file in folder.glob("gauge_live*_*.db") if is_running(pid := int(file.stem.rpartition("_")[2]))}


def _remove_gauges_of_dead_workers(folder: Path) -> None:
    # A dead worker's counters stay in the sums; its gauges say nothing about the present.
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not is_running(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


async def end_with_parent() -> None:
    """Ends this process in good order once its supervisor is gone: a worker that is left behind keeps the port."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - no event tells that a parent is gone
        await asyncio.sleep(PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
