"""Children: restarted when they crash, stopped in order, gone when their starter is gone."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.support.stack import until
from throughline.local import Child, LocalError, Supervisor
from throughline.local.run import RunOptions, Stack

ENV = {"PATH": os.defpath}
SLEEPER = "import time; print('awake', flush=True); time.sleep(600)"


def python(name: str, code: str, folder: Path, *arguments: str) -> Child:
    return Child(name, [sys.executable, "-I", "-S", "-c", code, *arguments], log=folder / f"{name}.log", env=ENV)


async def says(child: Child, word: str) -> None:
    async def has_printed() -> bool:
        return word in child.tail()

    await until(has_printed, what=lambda: f"{word!r} in {child.tail()!r}")


async def test_a_crashed_child_is_started_again_and_said_so(tmp_path: Path) -> None:
    news: list[str] = []
    changes: list[dict[str, int]] = []
    supervisor = Supervisor(news.append, lambda: changes.append(supervisor.pids))
    child = python("sleeper", SLEEPER, tmp_path)
    await supervisor.start(child)
    try:
        await says(child, "awake")
        first = child.pid
        os.kill(first, signal.SIGKILL)

        async def changed() -> bool:
            return bool(changes)

        await until(changed)
        assert changes == [{"sleeper": child.pid}]
        assert child.pid != first
    finally:
        await supervisor.stop()
    assert "sleeper crashed (killed by SIGKILL); its last lines:\n    awake" in news[0]
    assert any(f"sleeper runs again (process {child.pid})" in line for line in news)
    assert not child.running


async def test_pauses_grow_while_it_keeps_crashing(tmp_path: Path) -> None:
    news: list[str] = []
    supervisor = Supervisor(news.append)
    await supervisor.start(python("crasher", "raise SystemExit('no luck')", tmp_path))

    async def thrice() -> bool:
        return sum("crashed" in line for line in news) >= 3

    try:
        await until(thrice)
    finally:
        await supervisor.stop()
    assert "no luck" in news[0]
    pauses = [line for line in news if "started again in" in line]
    assert pauses[:3] == [f"crasher is started again in {pause} s" for pause in ("0.2", "0.4", "0.8")]


async def test_stopping_goes_backwards_and_waits(tmp_path: Path) -> None:
    order = tmp_path / "order"
    code = (
        "import signal, sys, time\n"
        "def end(*_):\n    time.sleep(0.1); open(sys.argv[1], 'a').write(sys.argv[2]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); print('awake', flush=True); time.sleep(600)"
    )
    children = [python(name, code, tmp_path, str(order), name) for name in "abc"]
    supervisor = Supervisor(lambda _: None)
    for child in children:
        await supervisor.start(child)
        await says(child, "awake")
    await supervisor.stop()
    assert order.read_text() == "cba"


async def test_one_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print('awake', flush=True); time.sleep(600)"
    child = python("deaf", code, tmp_path)
    child.grace_s = 0.2
    await child.start()
    await says(child, "awake")
    await child.stop()
    assert await child.wait() == -signal.SIGKILL


async def test_a_group_goes_with_its_leader(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
        "time.sleep(600)"
    )
    child = python("leader", code, tmp_path)
    await child.start()

    async def follower() -> int:
        return int(child.tail() or 0)

    pid = await until(follower)
    os.kill(child.pid, signal.SIGKILL)
    await child.wait()

    async def has_ended() -> bool:
        return not alive(pid)

    await until(has_ended)


async def test_a_terminals_ctrl_c_does_not_reach_children(tmp_path: Path) -> None:
    child = python("sleeper", SLEEPER, tmp_path)
    await child.start()
    try:
        assert os.getsid(child.pid) == child.pid != os.getsid(0)
    finally:
        await child.kill()


async def test_nothing_outlives_a_killed_starter(tmp_path: Path) -> None:
    code = f"""
import asyncio, sys
from pathlib import Path
from throughline.local import Child, LocalKafka, LocalPostgres
async def main():
    folder = Path({str(tmp_path)!r})
    postgres, kafka = LocalPostgres(folder / "postgres"), LocalKafka(folder / "kafka")
    sleeper = Child("sleeper", [sys.executable, "-c", {SLEEPER!r}], log=folder / "sleeper.log", env={{}})
    await asyncio.gather(postgres.start(), kafka.start(), sleeper.start())
    print("pids", postgres.pid, kafka.pid, sleeper.pid, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""
    starter = Child("starter", [sys.executable, "-c", code], log=tmp_path / "starter.log", env=dict(os.environ))
    await starter.start()
    await says(starter, "pids")
    pids = [int(word) for word in starter.tail().split() if word.isdigit()]
    family = {process.pid for pid in pids for process in [psutil.Process(pid), *psutil.Process(pid).children(True)]}
    assert len(family) > len(pids) == 3
    os.kill(starter.pid, signal.SIGKILL)
    await starter.wait()

    async def have_ended() -> bool:
        return not any(alive(pid) for pid in family)

    await until(have_ended, what="all children to be gone")


async def test_a_program_that_cannot_run_is_named(tmp_path: Path) -> None:
    child = Child("missing", [str(tmp_path / "no-such-program")], log=tmp_path / "missing.log", env=ENV)
    await child.start()
    assert await child.wait() == 126
    assert "no-such-program" in child.tail()
    with pytest.raises(LocalError, match="cannot start lost"):
        await Child("lost", [sys.executable], log=Path("/proc/lost/x.log"), env=ENV).start()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": "taken"}, r"port \d+ is in use by another process; .*PORT"),
        ({"ingest_port": "taken"}, r"port \d+ is in use by another process; .*INGEST_PORT"),
        ({"kafka": "127.0.0.1:taken"}, "no Kafka answers at"),
        ({"data": "foreign"}, "not a run folder of Throughline"),
    ],
)
async def test_what_cannot_be_run_is_said_before_anything_starts(
    changes: dict[str, str], message: str, tmp_path: Path
) -> None:
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    taken = server.sockets[0].getsockname()[1]
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    values: dict[str, object] = {"data": tmp_path / "data", "port": 0, "ingest_port": 0}
    for name, value in changes.items():
        values[name] = {"port": taken, "ingest_port": taken, "data": tmp_path / "foreign"}.get(name, "127.0.0.1:1")
        assert value
    stack = Stack(RunOptions(**values), base=ENV, step=lambda _: None, say=lambda _: None)  # type: ignore[arg-type]
    try:
        with pytest.raises(LocalError, match=message):
            async with stack.running():
                pass
    finally:
        server.close()
    assert not (tmp_path / "data" / "run.json").exists()


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
