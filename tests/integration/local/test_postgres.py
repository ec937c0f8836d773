"""The embedded database: its data, its folder, its password, who it runs as."""

import os
import shutil
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from tests.conftest import execute
from tests.support.stack import until
from throughline.local import Child, LocalError, LocalPostgres
from throughline.local.errors import BrokenFolderError, LockedError
from throughline.local.postgres import binaries
from throughline.local.server import ENVIRONMENT


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A temporary folder whose parents every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="throughline-"))
    yield folder
    shutil.rmtree(folder)


async def count(url: str) -> int:
    connection = await asyncpg.connect(url)
    try:
        return int(await connection.fetchval("select count(*) from kept"))
    finally:
        await connection.close()


async def test_data_outlives_a_kill_a_stop_and_the_object(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "postgres"
    server = LocalPostgres(folder)
    await server.start()
    try:
        url, pid = server.url, server.pid
        await execute(url, "create table kept (id int)")
        await execute(url, "insert into kept values (1)")
        await server.kill()
        assert not psutil.pid_exists(pid)
        assert (folder / "data" / "postmaster.pid").exists()
        await server.start()
        assert server.url == url
        await execute(url, "insert into kept values (2)")
    finally:
        await server.stop()
    assert not (folder / "data" / "postmaster.pid").exists()
    async with LocalPostgres(folder) as again:
        assert await count(again.url) == 2
        with pytest.raises(LockedError, match=rf"in use by another running instance \(process {os.getpid()}\)"):
            await LocalPostgres(folder).start()


async def test_the_password_is_private_and_needed(tmp_path: Path) -> None:
    async with LocalPostgres(tmp_path) as server:
        assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600
        with pytest.raises(asyncpg.InvalidPasswordError):
            await asyncpg.connect(server.url, password="wrong")
        connection = await asyncpg.connect(server.url)
        try:
            shown = {
                name: await connection.fetchval(f"show {name}")
                for name in ("listen_addresses", "unix_socket_directories", "fsync", "synchronous_commit")
            }
        finally:
            await connection.close()
    assert shown == {
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "on",
        "synchronous_commit": "on",
    }


async def test_a_pid_file_left_by_a_dead_server_may_name_anybody(tmp_path: Path) -> None:
    server = LocalPostgres(tmp_path)
    await server.start()
    await execute(server.url, "create table kept (id int)")
    await server.kill()
    left = tmp_path / "data" / "postmaster.pid"
    left.write_text("\n".join([str(os.getpid()), *left.read_text().split("\n")[1:]]))
    try:
        await server.start()
        assert await count(server.url) == 0
    finally:
        await server.stop()


async def test_a_server_started_by_hand_is_left_alone(open_folder: Path) -> None:
    server = LocalPostgres(open_folder)
    await server.start()
    await server.stop()
    by_hand = Child(
        "by hand",
        [str(binaries() / "postgres"), "-D", str(open_folder / "data"), "-k", "", "-p", str(server.port)],
        log=open_folder / "hand.log",
        env=ENVIRONMENT,
        run_as="namespace" if os.geteuid() == 0 else "same",
    )
    await by_hand.start()
    try:

        async def started() -> bool:
            return (open_folder / "data" / "postmaster.pid").exists()

        await until(started)
        with pytest.raises(LockedError, match=rf"in use by another PostgreSQL \(process {by_hand.pid}\)"):
            await server.start()
        assert by_hand.running
    finally:
        await by_hand.kill()


async def test_a_damaged_folder_is_told_from_an_old_one(tmp_path: Path) -> None:
    async with LocalPostgres(tmp_path):
        pass
    version = tmp_path / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(BrokenFolderError, match="made by PostgreSQL 17, this is 18: dump it"):
        await LocalPostgres(tmp_path).start()
    version.unlink()
    with pytest.raises(BrokenFolderError, match="PG_VERSION or global/pg_control is missing or empty"):
        await LocalPostgres(tmp_path).start()
    version.write_text("18\n")
    password = (tmp_path / "password").read_text()
    (tmp_path / "password").unlink()
    with pytest.raises(BrokenFolderError, match="password is missing"):
        await LocalPostgres(tmp_path).start()
    (tmp_path / "password").write_text("wrong\n")
    with pytest.raises(BrokenFolderError, match="refuses the password"):
        await LocalPostgres(tmp_path).start()
    (tmp_path / "password").write_text(password)
    async with LocalPostgres(tmp_path) as mended:
        assert mended.pid


async def test_where_namespaces_are_refused_root_becomes_somebody_else(open_folder: Path) -> None:
    server = LocalPostgres(open_folder, namespaces=False)
    if os.geteuid() == 0 and not all(parent.stat().st_mode & 1 for parent in binaries().parents):
        with pytest.raises(LocalError, match="Start as an ordinary user"):
            await server.start()
        return
    for _ in range(2):
        await server.start()
        try:
            process = psutil.Process(server.pid)
            assert process.uids().real != 0
            assert process.uids().real == os.stat(open_folder).st_uid  # noqa: PTH116
        finally:
            await server.stop()


def test_the_parents_permissions_stay_as_they_are(open_folder: Path) -> None:
    parent = open_folder / "parent"
    parent.mkdir(mode=0o700)
    before = [(path, path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)]
    script = (
        "import asyncio, sys; from pathlib import Path; from throughline.local import LocalPostgres\n"
        "async def main():\n    async with LocalPostgres(Path(sys.argv[1])): pass\n"
        "asyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", script, str(parent / "postgres")], check=True, timeout=60)
    assert before == [(path, path.stat().st_mode, path.stat().st_uid) for path in (parent, *parent.parents)]
