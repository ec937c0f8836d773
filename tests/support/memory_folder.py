"""Folders in memory: PostgreSQL makes a database there in a fraction of the time, and waits for no disk."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

MEMORY = Path("/dev/shm")
PREFIX = "throughline-tests-"
LEAST_BYTES = 12_000_000_000
"""Where less is free, as in most containers, the folder is on disk."""


@contextmanager
def memory_folder(on_disk: Path) -> Iterator[Path]:
    """A folder in memory, removed at the end; `on_disk` where memory is short."""
    free = min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) if MEMORY.is_dir() else 0
    if free < LEAST_BYTES or not os.access(MEMORY, os.W_OK):
        yield on_disk
        return
    _remove_stale()
    with tempfile.TemporaryDirectory(prefix=f"{PREFIX}{os.getpid()}-", dir=MEMORY, ignore_cleanup_errors=True) as name:
        yield Path(name)


def _remove_stale() -> None:
    """What killed runs left behind."""
    for folder in MEMORY.glob(f"{PREFIX}*"):
        if not psutil.pid_exists(int(folder.name.removeprefix(PREFIX).partition("-")[0])):
            shutil.rmtree(folder, ignore_errors=True)
