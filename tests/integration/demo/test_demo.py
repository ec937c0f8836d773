"""`throughline demo` and `throughline replay-csv` against a real ingest, on real Kafka."""

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from tests.conftest import Topics
from tests.support.stack import Service, Stack, until
from tests.support.topic import read_touchpoints
from throughline.kit.clock import now_us
from throughline.kit.run_file import RunFile
from throughline.local import LocalKafka, free_port

THROUGHLINE = Path(sys.executable).with_name("throughline")
COMMAND_SECONDS = 60.0


@dataclass
class Edge:
    """A running ingest and what belongs to it."""

    stack: Stack
    ingest: Service

    @property
    def target(self) -> list[str]:
        return ["--url", self.ingest.url, "--key", self.stack.write_key]


@pytest.fixture
async def edge(kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Edge]:
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    try:
        yield Edge(stack, await stack.start("ingest"))
    finally:
        await stack.stop()


async def start(*arguments: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(THROUGHLINE, *arguments, stderr=asyncio.subprocess.PIPE)


async def run(*arguments: str) -> tuple[int, str]:
    """Exit status and what the command printed on standard error."""
    process = await start(*arguments)
    return await ending(process)


async def ending(process: asyncio.subprocess.Process) -> tuple[int, str]:
    async with asyncio.timeout(COMMAND_SECONDS):
        _, output = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_demo_sends_customers_as_of_now(edge: Edge) -> None:
    before = now_us()
    status, output = await run("demo", *edge.target, "--count", "300", "--burst", "200", "--rate", "200")
    assert status == 0, output
    assert "300 events sent, 300 accepted" in output
    touchpoints = await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)
    assert len({(t.actor, t.message_id) for t in touchpoints}) == len(touchpoints) == 300
    assert all(not t.warnings for t in touchpoints), Counter(w for t in touchpoints for w in t.warnings)
    # The SDK sends milliseconds.
    assert all(before - 1_000 <= t.occurred_us <= t.received_us for t in touchpoints)
    assert len({t.channel for t in touchpoints}) >= 4
    assert all(t.order_id and t.value for t in touchpoints if t.name in ("Order Completed", "pos_sale"))


async def test_the_history_is_sent_once_for_a_data_folder(edge: Edge, tmp_path: Path) -> None:
    stack = edge.stack
    # As a running stack leaves it, but for a token: costs go to the database.
    RunFile(database_url=stack.database, workspace=stack.workspace).write(tmp_path)
    command = ("demo", *edge.target, "--history", "20", "--data", str(tmp_path), "--count", "1", "--rate", "100")
    status, output = await run(*command)
    assert (status, "events of history sent" in output) == (0, True), output
    status, output = await run(*command)
    assert (status, "history" in output) == (0, False), output
    touchpoints = await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)
    history = [t for t in touchpoints if t.message_id.startswith("story-")]
    assert len({t.message_id for t in history}) == len(history) > 100
    assert len(touchpoints) == len(history) + 2
    assert min(t.occurred_us for t in history) < now_us() - 80 * 86_400_000_000
    connection = await asyncpg.connect(stack.database)
    try:
        rows = await connection.fetch("SELECT value, currency, sum(amount) FROM costs GROUP BY 1, 2")
        acts = await connection.fetchval("SELECT count(*) FROM audit_log WHERE action = 'cost import'")
    finally:
        await connection.close()
    assert {(value, currency) for value, currency, amount in rows if amount > 0} >= {("spring-trails", "EUR")}
    assert acts == 1


async def test_the_demo_flushes_and_ends_well_on_sigterm(edge: Edge) -> None:
    process = await start("demo", *edge.target, "--rate", "100")

    async def some() -> bool:
        return len(await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)) > 20

    await until(some, what="the demo's first events")
    process.send_signal(signal.SIGTERM)
    status, output = await ending(process)
    assert status == 0, output
    sent = len(await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints))
    assert f"{sent} events sent, {sent} accepted" in output


async def test_the_demo_waits_for_an_ingest_that_is_away_and_goes_on(edge: Edge) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = await start("demo", "--url", url, "--key", edge.stack.write_key, "--count", "50", "--rate", "100")
    assert process.stderr is not None
    output = b""
    async with asyncio.timeout(COMMAND_SECONDS):
        while b"takes no events" not in output:
            output += await process.stderr.readline()
    later = await edge.stack.start("ingest", PORT=str(port), ready=False)
    later.url = url
    await later.ready()
    status, rest = await ending(process)
    assert status == 0, rest
    assert f"ingest at {url} takes events again" in rest
    assert "50 events sent, 50 accepted" in rest
    touchpoints = await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)
    assert len({t.message_id for t in touchpoints}) == 50


async def test_a_refused_key_is_said(edge: Edge) -> None:
    status, output = await run("demo", "--url", edge.ingest.url, "--key", "tlw_unknown", "--for", "30")
    assert status == 1
    assert "401" in output


async def test_where_to_send_is_read_from_the_running_stack(edge: Edge, tmp_path: Path) -> None:
    status, output = await run("demo", "--data", str(tmp_path / "data"))
    assert status == 2
    assert "make run" in output
    (tmp_path / "run.json").write_text(json.dumps({"ingest_url": edge.ingest.url, "write_key": edge.stack.write_key}))
    status, output = await run("demo", "--data", str(tmp_path), "--count", "5")
    assert status == 0, output


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    rows = [
        f"u{n % 40},s{n % 90},product_view,2024-03-{1 + n % 28:02d} 10:{n % 60:02d}:{n % 59:02d},email\n"
        for n in range(3_000)
    ]
    path.write_text("user_id,session_id,event,timestamp,acquisition_channel\n" + "".join(rows))
    return path


async def test_replay_sends_every_row_with_its_own_time_and_some_twice(edge: Edge, csv_file: Path) -> None:
    status, output = await run("replay-csv", str(csv_file), *edge.target, "--shuffle", "3", "--duplicate", "0.1")
    assert status == 0, output
    touchpoints = await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)
    assert len(touchpoints) == 3_300
    ids = Counter(t.message_id for t in touchpoints)
    assert set(ids) == {f"{n:09d}" for n in range(1, 3_001)}
    assert Counter(ids.values()) == {1: 2_700, 2: 300}
    first = next(t for t in touchpoints if t.message_id == "000000001")
    assert (first.actor, first.name, first.channel) == ("u0", "product_view", "email")
    assert first.occurred_us == 1_709_287_200_000_000
    assert json.loads(first.rest)["properties"]["session_id"] == "s0"


async def test_replay_says_which_rows_were_refused(edge: Edge, csv_file: Path) -> None:
    with csv_file.open("a") as file:
        file.write("guest,s1,product_view,2024-03-01 10:00:00,email\n")
    status, output = await run("replay-csv", str(csv_file), *edge.target)
    assert status == 1
    assert "refused, 1 times" in output.replace("refused or lost", "refused"), output
    assert len(await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints)) == 3_000


async def test_replay_sends_nothing_of_a_file_with_a_fault(edge: Edge, csv_file: Path) -> None:
    with csv_file.open("a") as file:
        file.write("u1,s1,product_view,yesterday,email\n")
    status, output = await run("replay-csv", str(csv_file), *edge.target)
    assert status == 2
    assert "line 3002: timestamp is 'yesterday'" in output
    assert await read_touchpoints(edge.stack.kafka, edge.stack.touchpoints) == []


async def test_replay_with_a_bad_key_fails_soon(edge: Edge, csv_file: Path) -> None:
    status, output = await run("replay-csv", str(csv_file), "--url", edge.ingest.url, "--key", "tlw_unknown")
    assert status == 1
    assert "401" in output
