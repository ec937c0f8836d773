"""Node's packages, installed once a session."""

import asyncio
import os
import shutil
from pathlib import Path

import pytest

PROJECT = Path(__file__).parent / "node"
INSTALL_SECONDS = 280.0


async def run(*arguments: str, folder: Path, seconds: float, **variables: str) -> str:
    """What a command printed.

    Raises:
        AssertionError: it failed; with all it said.
        TimeoutError: it took longer than `seconds`. It is ended then.
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
        # In CI a missing Node is a failure, elsewhere it is not everybody's.
        pytest.skip("Node is not installed")
    folder = tmp_path_factory.mktemp("node")
    for path in PROJECT.iterdir():
        if path.is_file():
            shutil.copy(path, folder / path.name)
    # No package needs its install script to be used here.
    await run("npm", "ci", "--prefer-offline", "--ignore-scripts", folder=folder, seconds=INSTALL_SECONDS)
    return folder
