"""Packages of npm, installed once a session."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest
from playwright.async_api import expect

expect.set_options(timeout=30_000)  # five seconds are short beside other tests

PROJECT = Path(__file__).parent / "node"
INSTALL_SECONDS = 280.0


async def run(*arguments: str, folder: Path, seconds: float, **variables: str) -> str:
    """The output of a command.

    Raises:
        AssertionError: it failed, with all of its output.
        TimeoutError: it ran longer than `seconds`, and was killed.
    """
    process = await asyncio.create_subprocess_exec(
        *arguments,
        cwd=folder,
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(seconds):
            out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, f"{arguments}: {errors.decode()}{out.decode()}"
    return out.decode()


async def installed(project: Path, folder: Path) -> Path:
    """`folder` with the files of a project, and its locked packages."""
    if shutil.which("npm") is None and not os.environ.get("CI"):
        # In CI a missing Node is a failure; a developer may do without it.
        pytest.skip("Node is not installed")
    shutil.copytree(project, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules"))
    # None of the packages needs its install script.
    await run("npm", "ci", "--prefer-offline", "--ignore-scripts", folder=folder, seconds=INSTALL_SECONDS)
    return folder


@pytest.fixture(scope="session")
async def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locked packages of `node/package.json` and the scripts beside it."""
    return await installed(PROJECT, tmp_path_factory.mktemp("node"))
