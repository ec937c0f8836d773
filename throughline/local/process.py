"""One child process: in a session of its own, its output in a log file, never alive after its parent."""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from throughline.local.errors import LocalError

BOUND_TO_PARENT = Path(__file__).with_name("bound_to_parent.py")
LOG_LIMIT_BYTES = 20_000_000


def bound_to_parent(argv: Sequence[str], *, death_signal: int = signal.SIGTERM, run_as: str = "same") -> list[str]:
    """The command that runs `argv` so that it gets `death_signal` when this process ends (see `bound_to_parent.py`).

    The kernel sends the signal when the thread ends that forks: start children from the main thread.
    """
    return [sys.executable, "-I", "-S", str(BOUND_TO_PARENT), str(os.getpid()), str(int(death_signal)), run_as, *argv]


class Child:
    """A program that may be started, stopped, killed and started again.

    The child has a session of its own, so that the terminal's Ctrl-C does not reach it: its starter stops it in order.
    `env` is its whole environment, `grace_s` how long `stop` waits before it kills.
    """

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        stop_signal: int = signal.SIGTERM,
        grace_s: float = 20.0,
        run_as: str = "same",
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.name = name
        self.argv = list(argv)
        self.log = log
        self.env = dict(env)
        self.cwd = cwd
        self.stop_signal = stop_signal
        self.grace_s = grace_s
        self.run_as = run_as
        self.pass_fds = tuple(pass_fds)
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def pid(self) -> int:
        """The process id of the last start, 0 before the first."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def start(self) -> None:
        """Start the program; its output goes to the end of its log.

        Raises:
            LocalError: the program cannot be started, or its log cannot be written.
        """
        if self.running:
            raise RuntimeError(f"{self.name} is running already")
        try:
            self.log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if self.log.exists() and self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
            with self.log.open("ab") as output:
                self._log_start = output.tell()
                self._process = await self._spawn(output)
        except OSError as error:
            raise LocalError(f"cannot start {self.name}: {error}") from None

    async def _spawn(self, output: BinaryIO) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *bound_to_parent(self.argv, death_signal=self.stop_signal, run_as=self.run_as),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
            env=self.env,
            cwd=self.cwd,
            start_new_session=True,
            pass_fds=self.pass_fds,
        )

    async def wait(self) -> int:
        """Wait until the program ends, then kill its process group; returns the exit status (-N = signal N)."""
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        status = await self._process.wait()
        self._signal_group(signal.SIGKILL)
        return status

    async def stop(self) -> None:
        """Send the stop signal, wait `grace_s`, then kill. Does nothing when the program does not run."""
        if self._process is None or not self.running:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self.stop_signal)
        try:
            await asyncio.wait_for(self.wait(), self.grace_s)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Send SIGKILL to the whole process group."""
        if self.running:
            self._signal_group(signal.SIGKILL)
            await self.wait()

    def tail(self, lines: int = 12) -> str:
        """The last lines of output since the last start."""
        try:
            with self.log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(min(self._log_start, size), size - 16_384))
                output = file.read().decode(errors="replace").splitlines()
        except OSError:
            return ""
        return "\n".join(output[-lines:])

    def _signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)


async def until_deadline(deadline: float, pause_s: float = 0.05) -> bool:
    """Pause; returns False when the `deadline` (of `time.monotonic`) has passed."""
    await asyncio.sleep(pause_s)
    return time.monotonic() < deadline
