"""The settings of a command, and the stack of `throughline run` that runs on its data folder."""

from pathlib import Path

from throughline.cli.common.output import fail
from throughline.cli.common.status import Status
from throughline.kit.process import is_running
from throughline.kit.run_file import RunFile, RunFileError
from throughline.kit.settings import CommandSettings, SettingsError, load


def command_settings() -> CommandSettings:
    """The variables that every command reads; ends the command when one of them is wrong."""
    try:
        return load(CommandSettings)
    except SettingsError as error:
        fail(str(error), Status.WRONG_USE)


def data_folder(data: Path | None) -> Path:
    """The folder of `--data`; without the option that of DATA, or `.throughline`."""
    return data or command_settings().data


def find_running(folder: Path) -> RunFile | None:
    """The run file of a data folder, when a process that it names is alive; ends the command when it is unreadable."""
    try:
        run_file = RunFile.read(folder)
    except RunFileError as error:
        fail(f"{error}; set DATABASE_URL")
    if run_file is None or not any(is_running(pid) for pid in run_file.pids.values()):
        return None
    return run_file
