"""Node's packages, installed once a session."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

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


@pytest.fixture(scope="session")
async def node_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the locked packages of `node/package.json` and the scripts beside it."""
    if shutil.which("npm") is None and not os.environ.get("CI"):
        # In CI a missing Node is a failure; a developer may do without it.
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("node")
    for path in PROJECT.iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)
    # None of the packages needs its install script.
    await run("npm", "ci", "--prefer-offline", "--ignore-scripts", folder=folder, seconds=INSTALL_SECONDS)
    return folder
