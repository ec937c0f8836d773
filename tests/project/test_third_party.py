"""What the image ships of others: the list of licences is that of the lock, and the bill of materials is whole."""

import hashlib
import json
import re
import shlex
import subprocess
from pathlib import Path

from tools.licence_list import LIST_FILE, list_text, locked
from tools.vendored import FOLDER, LICENCE, PACKAGES, packages

ROOT = Path(__file__).parents[2]
COPYLEFT = re.compile(r"\b[AL]?GPL|SSPL|BUSL", re.IGNORECASE)


def test_the_list_of_licences_is_that_of_the_lock() -> None:
    assert LIST_FILE.read_text() == list_text(), "run `make licences`"


def test_no_licence_asks_for_more_than_apache_allows() -> None:
    assert COPYLEFT.search("LGPL-3.0-only")
    assert not COPYLEFT.search(LIST_FILE.read_text())


def test_the_bill_of_materials_names_every_locked_package_with_its_hashes(tmp_path: Path) -> None:
    shown = subprocess.run(["make", "-n", "sbom"], cwd=ROOT, check=True, capture_output=True, text=True, timeout=60)
    (command,) = (line for line in shown.stdout.splitlines() if "cyclonedx-py" in line)
    file = tmp_path / "sbom.json"
    arguments = shlex.split(command)
    assert arguments[-2:] == ["-o", "sbom.json"]
    subprocess.run([*arguments[:-1], str(file)], cwd=ROOT, check=True, capture_output=True, timeout=120)
    bill = json.loads(file.read_text())
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["name"] == "throughline"
    components = {(each["name"], each["version"]): each for each in bill["components"]}
    assert components.keys() >= set(locked())
    for name, component in components.items():
        assert re.search(r"sha256:[0-9a-f]{64}|SHA-256", json.dumps(component)), name


def test_what_the_page_ships_of_others_is_what_was_fetched() -> None:
    listed = packages()
    assert {name: each["version"] for name, each in listed.items()} == {
        name: version for name, (version, _) in PACKAGES.items()
    }, "run `make vendor`"
    shipped = {
        str(file.relative_to(FOLDER)): hashlib.sha256(file.read_bytes()).hexdigest() for file in FOLDER.glob("*/*")
    }
    sums = {name: each["sha256"].items() for name, each in listed.items()}
    assert shipped == {f"{name}/{file}": digest for name, files in sums.items() for file, digest in files}
    assert {name for name, each in listed.items() if LICENCE in each["sha256"]} == set(PACKAGES)
