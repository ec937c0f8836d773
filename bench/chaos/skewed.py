"""Runs stager under a clock that can be stepped: `python -m bench.chaos.skewed FILE`.

FILE holds one signed 64-bit number: the nanoseconds by which the wall clock of the process is ahead.
"""

import mmap
import runpy
import struct
import sys
import time
from pathlib import Path

STEP = struct.Struct("<q")


def write_step(file: Path, seconds: float) -> None:
    """Set the clock of the process that reads `file`, now or later."""
    with file.open("r+b" if file.exists() else "w+b") as opened:
        opened.write(STEP.pack(int(seconds * 1e9)))


def main() -> None:
    """Replace the wall clock, then become stager."""
    with Path(sys.argv[1]).open("rb") as file:
        ahead = mmap.mmap(file.fileno(), STEP.size, access=mmap.ACCESS_READ)
    real = time.time_ns

    def time_ns() -> int:
        return real() + int(STEP.unpack(ahead[:])[0])

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9
    sys.argv = ["services.stager"]
    runpy.run_module("services.stager", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
