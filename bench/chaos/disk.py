"""Small file systems in memory that can be filled, in a mount namespace of this process's own."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

BALLAST = "ballast"
CHUNK = bytes(1 << 20)
NAMESPACE = "--in-namespace"
"""The argument with which the program has been started again."""


def enter_namespace(arguments: Sequence[str]) -> bool:
    """Start this program again where it may mount file systems, which go with it; returns False where it may not."""
    if NAMESPACE in arguments:
        return True
    for options in (["--mount"], ["--mount", "--map-root-user"]):
        probe = ["unshare", *options, "sh", "-c", "mount -t tmpfs -o size=1m probe /mnt"]
        if shutil.which("unshare") and subprocess.run(probe, capture_output=True).returncode == 0:
            command = ["unshare", *options, sys.executable, "-m", "bench.chaos", *arguments, NAMESPACE]
            sys.stdout.flush()
            os.execvp(command[0], command)
    return False


class SmallDisk:
    """A file system of `megabytes` at `folder`."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "chaos", str(folder)]
        subprocess.run(command, check=True)

    def fill(self) -> None:
        """Leave no byte."""
        with (self.folder / BALLAST).open("wb", buffering=0) as ballast:
            for chunk in (CHUNK, CHUNK[:4096]):
                try:
                    while ballast.write(chunk) == len(chunk):
                        pass
                except OSError:
                    continue

    def free(self) -> None:
        """Give the room back."""
        (self.folder / BALLAST).unlink(missing_ok=True)
