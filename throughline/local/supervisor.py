"""Keeps processes running: watches them, restarts them after growing pauses, stops them in reverse order."""

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Protocol

from throughline.local.errors import LocalError
from throughline.local.reports import Report

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 15.0
STEADY_S = 60.0
"""A process that ran this long before it crashed is restarted with the first pause again."""


class Supervised(Protocol):
    """A process that can be kept running: a `LocalServer`, a `Child`."""

    name: str

    @property
    def pid(self) -> int: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def wait(self) -> int: ...

    def tail(self, lines: int = 12) -> str: ...


class Supervisor:
    """Starts, watches, restarts and stops.

    `report` gets a sentence for every crash and restart; `on_change` is called when a process id has changed. The
    pauses before restarts grow up to `longest_pause_s`.
    """

    def __init__(
        self,
        report: Report,
        on_change: Callable[[], None] = lambda: None,
        *,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self._report = report
        self._on_change = on_change
        self._longest_pause_s = longest_pause_s
        self._children: dict[str, Supervised] = {}
        self._watchers: list[asyncio.Task[None]] = []

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name, in the order of starting."""
        return {name: each.pid for name, each in self._children.items() if each.pid}

    async def start(self, *together: Supervised) -> None:
        """Start processes side by side, and watch them from then on.

        Raises:
            LocalError: one cannot start; the others are not waited for, and `stop` stops those that run.
        """
        self._children |= {each.name: each for each in together}
        starting = [asyncio.create_task(each.start(), name=f"start {each.name}") for each in together]
        try:
            await asyncio.gather(*starting)
        except BaseException:
            for task in starting:
                task.cancel()
            await asyncio.gather(*starting, return_exceptions=True)
            raise
        self._watchers += [asyncio.create_task(self._watch(each), name=f"watch {each.name}") for each in together]

    async def forever(self) -> None:
        """Wait until cancelled. Raises the error of a watcher, should one fail."""
        await asyncio.gather(*self._watchers)

    async def stop(self) -> None:
        """Stop all, the last started first; a process that does not stop in time is killed."""
        for watcher in self._watchers:
            watcher.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)
        for each in reversed(self._children.values()):
            await each.stop()

    def kill(self) -> None:
        """Send SIGKILL to all at once, for those who cannot wait for `stop`."""
        for pid in self.pids.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    async def _watch(self, each: Supervised) -> None:
        pause = FIRST_PAUSE_S
        started = time.monotonic()
        while True:
            status = await each.wait()
            if time.monotonic() - started > STEADY_S:
                pause = FIRST_PAUSE_S
            self._report(f"{each.name} crashed ({describe_exit(status)}); its last lines:\n{_indented(each.tail())}")
            restarted = False
            while not restarted:
                self._report(f"{each.name} is started again in {pause:g} s")
                await asyncio.sleep(pause)
                pause = min(pause * 2, self._longest_pause_s)
                started = time.monotonic()
                try:
                    await each.start()
                    restarted = True
                except LocalError as error:
                    self._report(f"{each.name} cannot start: {error}")
            self._report(f"{each.name} runs again (process {each.pid})")
            self._on_change()


def describe_exit(status: int) -> str:
    """An exit status in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()) or "    (none)"
