"""`run.json`: where a running `throughline run` answers and what opens it.

Stands in the data folder for as long as the system runs; commands that are given no address read it.
"""

from pathlib import Path

import msgspec
from msgspec import Struct

from throughline.kit.files import write_private

RUN_FILE = "run.json"


class RunFileError(ValueError):
    """The file is there and cannot be read; the message names it and the reason."""


class RunFile(Struct, frozen=True):
    """The content of the file. "" and no process ids stand for what another version did not write."""

    ingest_url: str = ""
    api_url: str = ""
    kafka: str = ""
    database_url: str = ""
    workspace: str = ""
    write_key: str = ""
    read_token: str = ""
    operator_secret: str = ""
    """What replays prove themselves with."""
    encryption_keys: tuple[str, ...] = ()
    pids: dict[str, int] = {}
    """Process ids by the name of the service or server."""

    @classmethod
    def read(cls, folder: Path) -> "RunFile | None":
        """The file of a data folder; None when it has none.

        Raises:
            RunFileError: the file cannot be read.
        """
        path = folder / RUN_FILE
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise RunFileError(f"{path} cannot be read ({error})") from None

    def write(self, folder: Path) -> None:
        """Write the file whole or not at all, readable by its owner only."""
        write_private(folder / RUN_FILE, msgspec.json.format(msgspec.json.encode(self).decode(), indent=2) + "\n")
