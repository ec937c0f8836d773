"""A release: one version, a wheel that is the same bytes each time and works elsewhere, and an image likewise."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tools.set_version import PLACES, set_version

ROOT = Path(__file__).parents[2]
VERSION: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "throughline", "services")


def build(source: Path, target: Path) -> Path:
    """A wheel, as `make wheel` builds it."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (wheel,) = target.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("dist"))


def test_every_file_has_the_version_of_the_project() -> None:
    for name, place in PLACES.items():
        text = (ROOT / name).read_text()
        match = re.search(place, text)
        assert match is not None, name
        assert text[match.end(1) : match.start(2)] == VERSION, name
    assert f"\n## {VERSION}\n" in (ROOT / "CHANGELOG.md").read_text()


def test_a_release_writes_its_version_everywhere(tmp_path: Path) -> None:
    for name in (*PLACES, "CHANGELOG.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tmp_path / name)
    set_version(tmp_path, "9.8.7")
    for name in (*PLACES, "CHANGELOG.md"):
        before, after = ((folder / name).read_text().splitlines() for folder in (ROOT, tmp_path))
        added = [line for line in after if line not in before]
        assert len(added) == 1, name
        assert "9.8.7" in added[0]
    assert "## Unreleased\n\n## 9.8.7\n" in (tmp_path / "CHANGELOG.md").read_text()
    for wrong in ("", "1.2", "v1.2.3", "1.2.3\n", "next"):
        with pytest.raises(ValueError, match="three numbers"):
            set_version(tmp_path, wrong)


def test_the_wheel_has_every_file_of_the_packages(wheel: Path) -> None:
    assert wheel.name == f"throughline-{VERSION}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.startswith(f"throughline-{VERSION}.dist-info/")}
        metadata = archive.read(f"throughline-{VERSION}.dist-info/METADATA").decode()
    files = {
        path.relative_to(ROOT).as_posix()
        for folder in ("throughline", "services")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files
    assert f"Version: {VERSION}" in metadata
    assert "Requires-Python: >=3.11" in metadata


def test_the_same_sources_are_the_same_bytes(wheel: Path, tmp_path: Path) -> None:
    """Elsewhere, and with other times on the files."""
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, copy / name)
    for path in copy.rglob("*"):
        os.utime(path, (0, 1_000_000_000))
    again = build(copy, tmp_path / "dist")
    digests = [hashlib.sha256(each.read_bytes()).hexdigest() for each in (wheel, again)]
    assert digests[0] == digests[1]


def test_the_wheel_works_in_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    """Its dependencies are those of this environment, without the checkout: nothing is fetched for a test."""
    home = tmp_path / "venv"
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/python3.*/site-packages")
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    uv = Path(sys.executable).with_name("uv")
    python = home / "bin" / "python"
    install = [str(uv), "pip", "install", "--offline", "--no-deps", "--python", str(python), str(wheel)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)

    def run(*words: str) -> str:
        command = [str(home / "bin" / "throughline"), *words]
        environment = {"PATH": "/usr/bin:/bin", "COLUMNS": "200"}
        ended = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    assert "doctor" in run("--help")
    assert run("--version") == f"throughline {VERSION}\n"
    assert "seven_phase" in run("model", "show", "seven_phase", "--json")
    where = [str(python), "-c", "import throughline.cli, services.api; print(throughline.cli.__file__)"]
    imported = subprocess.run(where, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    assert imported.stdout.startswith(str(home))


def test_the_image_is_the_same_for_the_same_commit() -> None:
    """Nothing of the day of the build is in it; Python's bytecode is checked by digest (SOURCE_DATE_EPOCH)."""
    makefile = (ROOT / "Makefile").read_text()
    (recipe,) = re.findall(r"^image:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    for words in ("SOURCE_DATE_EPOCH=", "rewrite-timestamp=true", "--provenance=false", "deploy/Dockerfile"):
        assert words in recipe
    stages = re.split(r"^FROM ", (ROOT / "deploy" / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]
    for stage in stages:
        head, _, rest = stage.partition("RUN ")
        assert "ARG SOURCE_DATE_EPOCH" in head, "what runs in a stage must not see the clock"
        assert rest
