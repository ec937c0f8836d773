"""Where a command sends events: an address and a write key from its options, or those of a running stack."""

from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from throughline.cli.common.running import command_settings, data_folder
from throughline.kit.run_file import RUN_FILE, RunFile, RunFileError


class TargetError(ValueError):
    """It is not clear where to send; the message names the option and the fix."""


class Target(NamedTuple):
    """The address of ingest, a source's write key, and what replays prove themselves with."""

    url: str
    write_key: str
    operator_secret: str = ""
    """"" when none is known."""

    @property
    def operator_headers(self) -> dict[str, str]:
        """The header by which ingest believes what only an operator may say."""
        return {"X-Throughline-Operator": self.operator_secret} if self.operator_secret else {}


def find_target(url: str | None, write_key: str | None, data: Path | None) -> Target:
    """The target that the options name; what they leave out is read from the run file in the data folder.

    Raises:
        TargetError: something is missing and nothing runs on the folder, or the address is none.
    """
    operator_secret = command_settings().operator_secret or ""
    folder = data_folder(data)
    if not (url and write_key):
        running = _read_run_file(folder)
        if not url or url.rstrip("/") == running.ingest_url:
            operator_secret = operator_secret or running.operator_secret
        url = url or running.ingest_url
        write_key = write_key or running.write_key
    if not url or not write_key:
        raise TargetError(f"{folder / RUN_FILE} names no ingest_url and write_key; give --url and --key")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise TargetError(f"--url: {url!r} is not an address like http://localhost:8081")
    return Target(url, write_key, operator_secret)


def _read_run_file(folder: Path) -> RunFile:
    try:
        run_file = RunFile.read(folder)
    except RunFileError as error:
        raise TargetError(f"{error}; give --url and --key") from None
    if run_file is None:
        raise TargetError(
            f"nothing runs on {folder}/ (no {RUN_FILE} there): start it with `make run`, or give --url and --key"
        )
    return run_file
