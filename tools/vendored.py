"""Fetches what the page ships of others, and writes what it is: `make vendor`.

The files are those of the npm packages, byte by byte: `packages.json` beside them has the checksum of each, and that of
the package. There is no build step, so a package has to bring a script that a browser runs as it is.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "services" / "api" / "dashboard" / "vendor"
LIST_FILE = FOLDER / "packages.json"
LICENCE = "LICENSE"
PACKAGES = {
    "uplot": ("1.6.32", ("dist/uPlot.iife.min.js", "dist/uPlot.min.css")),
    # Of d3-array and d3-shape it needs three sums, which the page has itself, and links, which the page draws itself.
    "d3-sankey": ("0.12.3", ("dist/d3-sankey.min.js",)),
}
"""Package -> version, and the files that the page loads."""


def packages() -> dict[str, Any]:
    """Returns what `LIST_FILE` says: by package its version, licence, checksum, and those of its files."""
    listed: dict[str, Any] = json.loads(LIST_FILE.read_text())
    return listed


def main() -> None:
    """Write the folder anew."""
    known = packages() if LIST_FILE.exists() else {}
    listed: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, (version, files) in PACKAGES.items():
            target = Path(folder, "vendor", name)
            target.mkdir(parents=True)
            listed[name] = _fetch(name, version, (*files, LICENCE), target)
            before = known.get(name, {})
            if before.get("version") == version and before != listed[name]:
                raise SystemExit(f"{name} {version} is not what it was: {before} is now {listed[name]}")
        shutil.rmtree(FOLDER, ignore_errors=True)
        shutil.copytree(Path(folder, "vendor"), FOLDER)
    LIST_FILE.write_text(json.dumps(listed, indent=2) + "\n")


def _fetch(name: str, version: str, files: tuple[str, ...], target: Path) -> dict[str, Any]:
    """Put the files of a package into `target`. Returns what `LIST_FILE` says of it."""
    packed = subprocess.run(
        ["npm", "pack", f"{name}@{version}", "--json", "--silent"],
        cwd=target.parent,
        check=True,
        capture_output=True,
        text=True,
    )
    (package,) = json.loads(packed.stdout)
    archive = target.parent / package["filename"]
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if integrity != package["integrity"]:
        raise SystemExit(f"{name} {version}: the package has another checksum than the registry says")
    sums: dict[str, str] = {}
    with tarfile.open(archive) as members:
        licence = json.loads(_content(members, "package.json"))["license"]
        for file in files:
            content = _content(members, file)
            path = target / Path(file).name
            path.write_bytes(content)
            sums[path.name] = hashlib.sha256(content).hexdigest()
    archive.unlink()
    return {"version": version, "licence": licence, "integrity": integrity, "sha256": sums}


def _content(members: tarfile.TarFile, file: str) -> bytes:
    member = members.extractfile(f"package/{file}")
    if member is None:
        raise SystemExit(f"{file} is no file of the package")
    return member.read()


if __name__ == "__main__":
    main()
