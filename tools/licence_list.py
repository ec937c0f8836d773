"""Writes the list of what the image ships that others have made, with its licences: `make licences`."""

import re
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement

from tools.vendored import packages

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements" / "services.txt"
LIST_FILE = ROOT / "THIRD-PARTY.md"
NAMES = {
    "Apache 2": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "3-Clause BSD License": "BSD-3-Clause",
    "ISC License": "ISC",
    "MIT License": "MIT",
}
"""Words of a package's metadata -> SPDX identifier."""
WITHOUT_METADATA = {"crawler-user-agents": "MIT"}
"""Packages that say it in their repository only."""

HEAD = """\
# Third-party software

What the image of `deploy/Dockerfile` ships beside Throughline. `make licences` makes the list of the lock; a test keeps
it up to date. `make sbom` lists the same with hashes, as CycloneDX.

| package | version | licence |
|---|---|---|
"""
PAGE = """
The page's own, with their licence texts in `services/api/dashboard/vendor/`, fetched by `make vendor`:

| package | version | licence |
|---|---|---|
"""
TAIL = """
`services/ingest/enrich/referrers.txt` is data of others, with its licence at its head. The base image is Debian with
CPython: their licences are in the image, below `/usr/share/doc`.
"""


def list_text() -> str:
    """Returns the text of `LIST_FILE`."""
    rows = (f"| {name} | {version} | {licence(name)} |\n" for name, version in locked())
    of_page = (f"| {name} | {each['version']} | {each['licence']} |\n" for name, each in packages().items())
    return HEAD + "".join(rows) + PAGE + "".join(of_page) + TAIL


def locked() -> Iterator[tuple[str, str]]:
    """The packages of the lock that Linux needs, and their versions."""
    for line in LOCK.read_text().splitlines():
        if re.match(r"[A-Za-z0-9]", line):
            requirement = Requirement(line.rstrip("\\ "))
            if requirement.marker is None or requirement.marker.evaluate({"sys_platform": "linux"}):
                yield requirement.name, str(requirement.specifier).removeprefix("==")


def licence(package: str) -> str:
    """Returns the SPDX expression of an installed package's licence."""
    metadata = distribution(package).metadata
    expression, texts, classifiers = (
        [str(value) for value in metadata.get_all(field, [])]
        for field in ("License-Expression", "License", "Classifier")
    )
    if expression:
        return expression[0]
    named = [each.rpartition(" :: ")[2] for each in classifiers if each.startswith("License ::")]
    stated = next((each for each in [*texts, *named] if "\n" not in each), WITHOUT_METADATA.get(package))
    if stated is None:
        raise SystemExit(f"{package} does not state its licence: look it up, and add it to WITHOUT_METADATA")
    return NAMES.get(stated, stated)


if __name__ == "__main__":
    sys.stdout.write(list_text())
