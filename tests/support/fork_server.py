"""Starts the services of tests from a process that has imported their libraries already.

Importing takes a service longer than a test needs it. The libraries are imported once; every service is a fork of that
process: a session, an environment and a log of its own, its own modules imported afresh, its end as any process's.
`python -m tests.support.fork_server FD` serves on a listening socket that it inherits.
"""

import asyncio
import atexit
import contextlib
import ctypes
import functools
import gc
import importlib
import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from throughline.local import Child
from throughline.local.bound_to_parent import PR_SET_PDEATHSIG
from throughline.local.process import bound_to_parent

ROOT = Path(__file__).parents[2]
SOURCES = ("services", "throughline/journey", "throughline/kit", "throughline/models", "throughline/store")
IMPORT = re.compile(r"^(?:from|import) ([\w.]+)", re.MULTILINE)
OURS = ("services", "throughline")
AFRESH = (*OURS, "prometheus_client")
"""What every service imports itself. prometheus_client reads the environment when it is imported."""
LAZY = ("sqlalchemy.dialects.postgresql.asyncpg", "uvloop", "uvicorn.loops.uvloop", "uvicorn.protocols.http.auto")
MAX_REQUEST_BYTES = 1_000_000


class ForkedChild(Child):
    """A Python module as a child process, started by the fork server: `argv` is `[python, "-m", MODULE]`."""

    async def _spawn(self, output: BinaryIO) -> asyncio.subprocess.Process:
        request = {"module": self.argv[2], "env": self.env, "cwd": str(self.cwd)}
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(_server_address())
        socket.send_fds(connection, [json.dumps(request).encode()], [output.fileno()])
        reader, writer = await asyncio.open_connection(sock=connection)
        return cast(asyncio.subprocess.Process, _ForkedProcess(int(await reader.readline()), reader, writer))


class _ForkedProcess:
    """What `Child` needs of an `asyncio.subprocess.Process`."""

    def __init__(self, pid: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self._end = asyncio.create_task(_read_status(reader, writer))

    @property
    def returncode(self) -> int | None:
        return self._end.result() if self._end.done() else None

    async def wait(self) -> int:
        return await asyncio.shield(self._end)

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)


async def _read_status(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
    try:
        return int(await reader.readline() or -signal.SIGKILL)
    finally:
        writer.close()


@functools.cache
def _server_address() -> str:
    """The address of this process's server, which is started at the first call."""
    address = f"\0throughline-tests-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        argv = [sys.executable, "-m", "tests.support.fork_server", str(listener.fileno())]
        server = subprocess.Popen(
            bound_to_parent(argv, death_signal=signal.SIGKILL),
            stdin=subprocess.DEVNULL,
            env={key: value for key, value in os.environ.items() if key in ("PATH", "HOME", "LANG", "PYTHONPATH")},
            cwd=ROOT,
            pass_fds=[listener.fileno()],
        )
    atexit.register(_end, server)
    return address


def _end(server: subprocess.Popen[bytes]) -> None:
    server.kill()
    server.wait()


# --- in the server's process ------------------------------------------------------------------------------------------


def main() -> None:
    """Serve until killed."""
    listener = socket.socket(fileno=int(sys.argv[1]))
    _import_libraries()
    gc.collect()
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # guards are reaped by the kernel
    while True:
        connection, _ = listener.accept()
        server = os.getpid()
        if os.fork() == 0:
            listener.close()
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            _end_with_parent(server, signal.SIGKILL)
            _run(_guard(connection))
        connection.close()


def _import_libraries() -> None:
    names = {
        name
        for folder in SOURCES
        for path in (ROOT / folder).rglob("*.py")
        for name in IMPORT.findall(path.read_text())
        if name.partition(".")[0] not in AFRESH
    }
    for name in [*sorted(names), *LAZY]:
        with contextlib.suppress(ImportError):  # a line of a text that begins as an import does
            importlib.import_module(name)
    assert not [name for name in sys.modules if name.partition(".")[0] == "prometheus_client"]


def _guard(connection: socket.socket) -> str:
    """Fork once more: the fork returns the module to run, while this process tells of its beginning and its end."""
    data, (output,), *_ = socket.recv_fds(connection, MAX_REQUEST_BYTES, 1)
    request: dict[str, Any] = json.loads(data)
    guard = os.getpid()
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request, output, guard)
        return str(request["module"])
    os.close(output)
    connection.sendall(f"{pid}\n".encode())
    _, status = os.waitpid(pid, 0)
    with contextlib.suppress(OSError):
        connection.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
    os._exit(0)


def _become(request: dict[str, Any], output: int, guard: int) -> None:
    os.setsid()
    _end_with_parent(guard, signal.SIGTERM)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    for number in (1, 2):
        os.dup2(output, number)
    os.close(output)
    # Modules of ours that this file needed are imported afresh too.
    for name in [name for name in sys.modules if name.partition(".")[0] in OURS]:
        del sys.modules[name]


def _run(module: str) -> NoReturn:
    """Run the module to its end, as Python does, but for taking the libraries' modules apart: that takes long."""
    status: int | None = 1
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        else:
            status = end.code
    except BaseException:
        traceback.print_exc()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status or 0)


def _end_with_parent(parent: int, number: int) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(126)


if __name__ == "__main__":
    main()
