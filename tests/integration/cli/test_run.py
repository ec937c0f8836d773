"""`throughline run`, as a person types it."""

import asyncio
import json
import os
import re
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.support.stack import until
from throughline.local import Child

COMMAND = [sys.executable, "-c", "from throughline.cli import main; main()", "run"]
ROOT = Path(__file__).parents[3]
NAMES = ["kafka", "postgres", "ingest", "stager", "api"]


def run(folder: Path, log: str = "run", **variables: str) -> Child:
    """`throughline run` on `folder/data`, on free ports, without a demo unless `variables` say otherwise."""
    keep = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "PYTHONPATH")}
    settings = {"PORT": "0", "INGEST_PORT": "0", "DATA": str(folder / "data"), "DEMO": "0"}
    return Child("run", COMMAND, log=folder / f"{log}.log", env=keep | settings | variables, cwd=ROOT, grace_s=60)


async def ready(child: Child, folder: Path) -> dict[str, Any]:
    """What run.json says, once it is there and the snippets are printed."""
    await until(lambda: _ready(child, folder), seconds=90, what=lambda: f"run.json:\n{child.tail(40)}")
    content: dict[str, Any] = json.loads((folder / "data" / "run.json").read_text())
    return content


async def _ready(child: Child, folder: Path) -> bool:
    assert child.running, child.tail(40)
    return (folder / "data" / "run.json").exists() and "Ctrl-C stops all" in child.tail(100)


async def journey(running: dict[str, Any], customer: str, touchpoints: int) -> dict[str, Any]:
    """The customer's journey, once it has so many touchpoints."""
    headers = {"Authorization": f"Bearer {running['read_token']}"}
    async with httpx.AsyncClient(base_url=running["api_url"], headers=headers, timeout=30) as client:

        async def whole_journey() -> dict[str, Any] | None:
            try:
                answer = await client.get(f"/v1/customers/{customer}/journey")
            except httpx.HTTPError:
                return None
            body: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
            return body if len(body.get("touchpoints", {}).get("items", [])) == touchpoints else None

        content: dict[str, Any] = await until(whole_journey, what=f"{touchpoints} touchpoints of {customer}")
        return content


async def order(running: dict[str, Any], customer: str, number: int) -> None:
    """One completed order, sent until ingest takes it."""
    event = {
        "userId": customer,
        "messageId": f"{customer}-{number}",
        "event": "Order Completed",
        "properties": {"order_id": str(number), "revenue": 10},
    }
    async with httpx.AsyncClient(auth=(running["write_key"], ""), timeout=15) as client:

        async def taken() -> bool:
            try:
                return (await client.post(f"{running['ingest_url']}/v1/track", json=event)).status_code == 200
            except httpx.HTTPError:
                return False

        await until(taken, what="ingest to take an event")


async def ended(child: Child) -> int:
    return await asyncio.wait_for(child.wait(), 60)


def have_ended(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


@pytest.mark.deep
async def test_with_three_brokers_one_may_be_killed(tmp_path: Path) -> None:
    child = run(tmp_path, BROKERS="3")
    await child.start()
    try:
        running = await ready(child, tmp_path)
        brokers = [name for name in running["pids"] if name.startswith("kafka")]
        assert brokers == ["kafka-1", "kafka-2", "kafka-3"]
        await order(running, "ada", 1)
        os.kill(running["pids"]["kafka-1"], signal.SIGKILL)
        await order(running, "ada", 2)
        await journey(running, "ada", 2)
    finally:
        await child.stop()


async def test_it_runs_survives_kills_stops_and_goes_on(tmp_path: Path) -> None:
    child = run(tmp_path)
    await child.start()
    try:
        first = await ready(child, tmp_path)
        run_file = tmp_path / "data" / "run.json"
        assert stat.S_IMODE(run_file.stat().st_mode) == 0o600
        assert sorted(first["pids"]) == sorted(NAMES)
        assert set(first) == {
            "ingest_url",
            "api_url",
            "kafka",
            "database_url",
            "workspace",
            "write_key",
            "read_token",
            "operator_secret",
            "encryption_keys",
            "pids",
        }

        printed = child.log.read_text()
        send, see = re.findall(r"^curl .*$", printed, re.MULTILINE)
        code = re.search(r"^from segment.*?shutdown\(\)$", printed, re.MULTILINE | re.DOTALL)
        assert code is not None
        for command in (["sh", "-c", send], [sys.executable, "-c", code.group()]):
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=30)
            assert done.returncode == 0, done.stderr
        assert (await journey(first, "ada", 2))["phase"] == "purchase"
        shown = await asyncio.to_thread(subprocess.run, ["sh", "-c", see], capture_output=True, text=True, timeout=30)
        assert json.loads(shown.stdout)["customer"] == "ada"

        async with httpx.AsyncClient(timeout=30) as client:
            page = await client.get(first["api_url"] + "/")
        assert (page.status_code, "text/html" in page.headers["content-type"]) == (200, True)

        second = run(tmp_path, log="second")
        await second.start()
        assert await ended(second) == 1
        assert f"in use by another running instance (process {child.pid})" in second.tail()
        assert "Traceback" not in second.tail(100)

        for number, name in enumerate(NAMES, 1):
            before = json.loads(run_file.read_text())["pids"][name]
            os.kill(before, signal.SIGKILL)

            async def restarted(name: str = name, before: int = before) -> bool:
                return bool(json.loads(run_file.read_text())["pids"][name] != before)

            await until(restarted, what=lambda: f"a new process:\n{child.tail(40)}")
            assert f"{name} crashed (killed by SIGKILL)" in child.log.read_text()
            await order(first, "grace", number)
        assert (await journey(first, "grace", len(NAMES)))["phase"] == "loyalty"
        pids = list(json.loads(run_file.read_text())["pids"].values())

        os.kill(child.pid, signal.SIGINT)
        assert await ended(child) == 0
        assert have_ended(pids)
        assert not run_file.exists()

        await child.start()
        again = await ready(child, tmp_path)
        assert (again["write_key"], again["read_token"]) == (first["write_key"], first["read_token"])
        await order(again, "grace", len(NAMES) + 1)
        await journey(again, "grace", len(NAMES) + 1)

        await child.kill()
        await until(lambda: _have_ended(list(again["pids"].values())), what="no leftovers")
    finally:
        await child.stop()


async def _have_ended(pids: list[int]) -> bool:
    return have_ended(pids)


async def test_two_side_by_side_one_with_a_demo_one_on_the_others_servers(tmp_path: Path) -> None:
    first_folder, second_folder = tmp_path / "one", tmp_path / "two"
    first = run(first_folder, DEMO="1", DEMO_RATE="50", DEMO_CUSTOMERS="40")
    await first.start()
    try:
        running = await ready(first, first_folder)
        second = run(second_folder, KAFKA=running["kafka"], DATABASE_URL=running["database_url"])
        await second.start()
        try:
            other = await ready(second, second_folder)
            assert sorted(running["pids"]) == sorted([*NAMES, "demo"])
            assert sorted(other["pids"]) == ["api", "ingest", "stager"]
            headers = {"Authorization": f"Bearer {other['read_token']}"}
            async with httpx.AsyncClient(base_url=other["api_url"], headers=headers, timeout=30) as client:

                async def counted() -> bool:
                    return bool((await client.get("/v1/phases/counts")).json()["customers"] > 0)

                await until(counted, what="the demo's customers in the other one's counts")
        finally:
            await second.stop()
    finally:
        await first.stop()
    for child in (first, second):
        assert await child.wait() == 0
        assert "crashed" not in child.log.read_text()


async def test_wrong_variables_are_named(tmp_path: Path) -> None:
    child = run(tmp_path, PORT="eighty", DATABASE_URL="mysql://x")
    await child.start()
    assert await ended(child) == 2
    assert "PORT: " in child.tail()
    assert "DATABASE_URL: " in child.tail()
    assert "Traceback" not in child.tail(100)
