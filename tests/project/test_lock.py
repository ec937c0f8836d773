"""Every installed package is pinned and hashed, and no lock holds the address of a registry."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REQUIREMENTS = sorted((ROOT / "requirements").glob("*.txt"))
PIN = re.compile(r"^([A-Za-z0-9._-]+)==\S+")
# Written in pieces, so that this file does not match.
MACHINE = re.compile(r"/roo" r"t/\.|index[-_]url\s*[=:]|extra[-_]index|/home/[a-z]+/\.", re.IGNORECASE)


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pinned(path: Path) -> dict[str, str]:
    """Package -> its whole entry, with continuation lines joined."""
    text = path.read_text().replace("\\\n", " ")
    entries = [line.strip() for line in text.splitlines() if line.strip() and not line.strip().startswith("#")]
    entry_of: dict[str, str] = {}
    for entry in entries:
        match = PIN.match(entry)
        assert match, f"{path.name}: not a pinned package: {entry[:80]}"
        entry_of[canonical(match[1])] = entry
    return entry_of


@pytest.mark.parametrize("path", REQUIREMENTS, ids=lambda path: path.name)
def test_every_package_has_hashes_and_no_address(path: Path) -> None:
    entries = pinned(path)
    assert entries
    for name, entry in entries.items():
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), f"{path.name}: {name} has no hash"
        assert "://" not in entry, f"{path.name}: {name} names an address"


def test_every_declared_dependency_is_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    declared = {
        "services.txt": project["project"]["dependencies"],
        "local.txt": [*project["project"]["dependencies"], *groups["local"]],
        "dev.txt": [*project["project"]["dependencies"], *groups["local"], *groups["dev"]],
        "fuzz.txt": groups["fuzz"],
        "bootstrap.txt": (ROOT / "requirements" / "bootstrap.in").read_text().split(),
    }
    assert {path.name for path in REQUIREMENTS} == declared.keys()
    for path in REQUIREMENTS:
        names = {canonical(re.split(r"[\[<>=;! ]", line)[0]) for line in declared[path.name] if isinstance(line, str)}
        missing = names - pinned(path).keys()
        assert not missing, f"{path.name} lacks {sorted(missing)}: run `make lock`"


def test_the_locks_agree_on_versions() -> None:
    version = re.compile(r"==(\S+)")
    seen: dict[str, str] = {}
    for path in REQUIREMENTS:
        for name, entry in pinned(path).items():
            match = version.search(entry)
            assert match
            assert seen.setdefault(name, match[1]) == match[1], f"{name} has two versions: run `make lock`"


def test_every_kafka_jar_has_a_checksum_and_no_address() -> None:
    jars = ROOT / "throughline" / "local" / "kafka-jars.txt"
    lines = [line for line in jars.read_text().splitlines() if line and not line.startswith("#")]
    assert any(line.startswith("org.apache.kafka:kafka_2.13:4.3.") for line in lines)
    for line in lines:
        assert re.fullmatch(r"[\w.-]+(:[\w.-]+){2,3} [0-9a-f]{64}", line), f"kafka-jars.txt: {line!r}"


def test_no_file_mentions_a_machine_or_a_package_index() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, timeout=60).stdout
    assert listed
    for name in listed.decode().split("\0"):
        path = ROOT / name
        if name and path.is_file() and not path.is_symlink():
            text = path.read_bytes().decode(errors="ignore")
            match = MACHINE.search(text)
            assert not match, f"{name} mentions {match[0] if match else ''!r}"
