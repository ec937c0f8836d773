"""What a worker does for the others: metrics that add up, and no worker left behind by a killed supervisor."""

import asyncio
import os
import signal
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead
from prometheus_client.registry import Collector

from throughline.kit.metrics import INGEST_PREFIX

PARENT_SECONDS = 1.0


class _Ingest(Collector):
    """The sums over all workers, of this service's metrics only."""

    def __init__(self) -> None:
        self._all = MultiProcessCollector(None)  # type: ignore[no-untyped-call]

    def collect(self) -> Iterator[Metric]:
        _forget_dead_workers(Path(self._all._path))
        for metric in self._all.collect():  # type: ignore[no-untyped-call]
            if metric.name.startswith(INGEST_PREFIX):
                yield metric


def worker_metrics() -> CollectorRegistry:
    """A registry to read once."""
    registry = CollectorRegistry()
    registry.register(_Ingest())
    return registry


def _forget_dead_workers(folder: Path) -> None:
    # Their counters stay in the sums; what they last said about the present does not.
    for file in folder.glob("gauge_live*_*.db"):
        pid = int(file.stem.rpartition("_")[2])
        if not _alive(pid):
            mark_process_dead(pid, str(folder))  # type: ignore[no-untyped-call]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


async def end_with_parent() -> None:
    """Stop, in good order, when the process that started this one is gone: it would keep the port."""
    parent = os.getppid()
    while os.getppid() == parent:  # noqa: ASYNC110 - nothing tells when a parent is gone
        await asyncio.sleep(PARENT_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)
