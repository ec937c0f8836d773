"""Where to send: an address and a write key given outright, or those of a running `throughline run`."""

import json
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

RUN_FILE = "run.json"


class TargetError(ValueError):
    """It is not clear where to send; the message names the option and the fix."""


class Target(NamedTuple):
    """The address of ingest and a source's write key."""

    url: str
    write_key: str


def find_target(url: str | None, write_key: str | None, data: Path) -> Target:
    """What is given, completed from the run file in `data`.

    Raises:
        TargetError: something is missing and nothing runs on `data`, or the address is not one.
    """
    if not (url and write_key):
        running = _read(data / RUN_FILE)
        url = url or running.get("ingest_url")
        write_key = write_key or running.get("write_key")
    if not url or not write_key:
        raise TargetError(f"{data / RUN_FILE} names no ingest_url and write_key; give --url and --key")
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise TargetError(f"--url: {url!r} is not an address like http://localhost:8081")
    return Target(url, write_key)


def _read(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_text())
    except FileNotFoundError:
        raise TargetError(
            f"nothing runs on {path.parent}/ (no {path.name} there): start it with `make run`, or give --url and --key"
        ) from None
    except (OSError, ValueError) as error:
        raise TargetError(f"{path} cannot be read ({error}); give --url and --key") from None
    return found if isinstance(found, dict) else {}
