"""The faults: which there are, and how each is done and undone."""

import asyncio
import contextlib
import random
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

import asyncpg
import psutil

from bench.chaos.disk import SmallDisk
from bench.chaos.proxy import Line
from bench.chaos.skewed import write_step

LONGEST_S = 12.0
SLOW_FLUSH_US = 100_000
"""How much longer each flush of PostgreSQL's log takes on a slow disk: the most that its `commit_delay` allows."""
RETRY_S = 0.2
CLOCK_STEPS_S = (-86_400.0, -3_600.0, -5.0, 2.0, 60.0, 7_200.0, 40 * 86_400.0)


class Victim(Protocol):
    """A process that somebody else starts again when it ends."""

    @property
    def pid(self) -> int: ...


@dataclass
class Surroundings:
    """What can be hurt, by name."""

    processes: dict[str, Victim]
    lines: dict[str, Line]
    """Between a stager and PostgreSQL."""
    clocks: dict[str, Path]
    disks: dict[str, SmallDisk] = field(default_factory=dict)
    database_url: str | None = None
    """With which the server's settings may be changed; None: its disk cannot be made slow."""

    def kinds(self) -> list[str]:
        """The kinds of faults that are possible here."""
        return sorted({kind for kind, _ in self.choices()})

    def choices(self) -> Iterator[tuple[str, str]]:
        """Every kind with every victim of its own."""
        for kind in ("kill", "stop", "term"):
            yield from ((kind, name) for name in self.processes)
        for kind in ("cut", "swallow"):
            yield from ((kind, name) for name in self.lines)
        yield from (("clock", name) for name in self.clocks)
        yield from (("disk full", name) for name in self.disks)
        if self.database_url is not None:
            yield "slow disk", "postgres"


class Fault(NamedTuple):
    kind: str
    victim: str
    seconds: float
    """How long it lasts, for one that lasts."""
    size: float
    """From 0 to 1: which step of a clock, whether a child is killed."""

    def __str__(self) -> str:
        lasting = "" if self.kind in ("kill", "term") else f" for {self.seconds:.1f} s"
        return f"{self.kind} {self.victim}{lasting}"


def plan(surroundings: Surroundings, *, seed: int, count: int, longest_s: float = LONGEST_S) -> list[Fault]:
    """So many faults, the same for a seed; every kind in turn, its victims by chance."""
    dice = random.Random(seed)
    choices = list(surroundings.choices())
    kinds = surroundings.kinds()
    faults: list[Fault] = []
    while len(faults) < count:
        dice.shuffle(kinds)
        for kind in kinds:
            victim = dice.choice([name for of, name in choices if of == kind])
            faults.append(Fault(kind, victim, dice.uniform(0.2, longest_s), dice.random()))
    return faults[:count]


async def inflict(fault: Fault, surroundings: Surroundings) -> None:
    """Do it, and undo it after its time; a process that was ended is started again by whoever watches it."""
    match fault.kind:
        case "kill":
            # Of PostgreSQL now and then a child: it then ends all sessions, and recovers.
            tree = _tree(surroundings, fault)
            _signal(tree[-1:] if fault.size < 0.3 else tree[:1], signal.SIGKILL)
        case "term":
            # PostgreSQL would wait for its clients to go: what ends sessions is SIGINT.
            ending = signal.SIGINT if fault.victim == "postgres" else signal.SIGTERM
            _signal(_tree(surroundings, fault)[:1], ending)
        case "stop":
            stopped = _tree(surroundings, fault)
            _signal(stopped, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                _signal(stopped, signal.SIGCONT)
        case "cut" | "swallow":
            line = surroundings.lines[fault.victim]
            try:
                await line.cut() if fault.kind == "cut" else line.swallow()
                await asyncio.sleep(fault.seconds)
            finally:
                await line.mend()
        case "clock":
            clock = surroundings.clocks[fault.victim]
            write_step(clock, CLOCK_STEPS_S[int(fault.size * len(CLOCK_STEPS_S))])
            try:
                await asyncio.sleep(fault.seconds)
            finally:
                write_step(clock, 0)
        case "disk full":
            disk = surroundings.disks[fault.victim]
            try:
                await asyncio.to_thread(disk.fill)
                await asyncio.sleep(fault.seconds)
            finally:
                disk.free()
            if fault.victim != "postgres":
                # As an operator would: a broker whose disk was full when it first needed its zstd library refuses
                # compressed batches until it is started again.
                _signal(_tree(surroundings, fault)[:1], signal.SIGKILL)
        case "slow disk":
            assert surroundings.database_url is not None
            try:
                await _delay_flushes(surroundings.database_url, SLOW_FLUSH_US)
                await asyncio.sleep(fault.seconds)
            finally:
                await _delay_flushes(surroundings.database_url, 0)


def _tree(surroundings: Surroundings, fault: Fault) -> list[psutil.Process]:
    """The victim's process, then its children; none when it is about to be started again."""
    try:
        process = psutil.Process(surroundings.processes[fault.victim].pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _signal(processes: Sequence[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


async def _delay_flushes(url: str, microseconds: int) -> None:
    """Make every flush of the log slower; tried until the server takes it, as it may be away."""
    while True:
        try:
            connection = await asyncpg.connect(url, timeout=5)
            try:
                await connection.execute(f"ALTER SYSTEM SET commit_delay = {microseconds}")
                await connection.execute("SELECT pg_reload_conf()")
            finally:
                await connection.close(timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
            await asyncio.sleep(RETRY_S)
        else:
            return
