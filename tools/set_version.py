"""Writes a new version to every file that has it, and closes the changelog's Unreleased: `make release VERSION=1.2.0`.

`pyproject.toml` is where the version stands; compose and the manifests name the image by it.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+")
PLACES = {
    "pyproject.toml": r'(?m)^(version = ")[^"]+(")$',
    "docker-compose.yml": r"(image: throughline:)\S+()",
    "deploy/kubernetes/base/kustomization.yaml": r"(\{name: throughline, newTag: )[^}]+(\})",
    "deploy/kubernetes/admin/kustomization.yaml": r"(\{name: throughline, newTag: )[^}]+(\})",
}
"""File -> what stands before the version and after it."""
UNRELEASED = "## Unreleased\n"


def set_version(root: Path, version: str) -> None:
    """Write the version below `root`.

    Raises:
        ValueError: it is no version of three numbers, or a file has no place for it.
    """
    if not VERSION.fullmatch(version):
        raise ValueError(f"a version is three numbers such as 1.2.0, not {version!r}")
    for name, place in PLACES.items():
        file = root / name
        text, places = re.subn(place, rf"\g<1>{version}\g<2>", file.read_text())
        if places != 1:
            raise ValueError(f"{name} has {places} places for the version")
        file.write_text(text)
    changelog = root / "CHANGELOG.md"
    text = changelog.read_text()
    if UNRELEASED not in text:
        raise ValueError(f"CHANGELOG.md has no {UNRELEASED.strip()!r}")
    changelog.write_text(text.replace(UNRELEASED, f"{UNRELEASED}\n## {version}\n", 1))


if __name__ == "__main__":
    try:
        set_version(ROOT, sys.argv[1] if len(sys.argv) > 1 else "")
    except ValueError as error:
        sys.exit(str(error))
