"""The stack of `throughline run` that runs on a data folder."""

from pathlib import Path

from throughline.cli.common.output import fail
from throughline.kit.process import is_running
from throughline.kit.run_file import RunFile, RunFileError


def find_running(folder: Path) -> RunFile | None:
    """The run file of a data folder, when a process that it names is alive; ends the command when it is unreadable."""
    try:
        run_file = RunFile.read(folder)
    except RunFileError as error:
        fail(f"{error}; set DATABASE_URL")
    if run_file is None or not any(is_running(pid) for pid in run_file.pids.values()):
        return None
    return run_file
