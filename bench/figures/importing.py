"""`throughline import`: rows a second from a file to Kafka's acknowledgement, beside one request for each row."""

import json
import sys
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

import msgspec

from bench.events import log_of_actions, segment_event
from bench.report import Goal, Row
from bench.servers import Deployment, Servers, Sizes, print_progress, run_command, run_python

START_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z
MAPPING = """time_zone = "Europe/Vienna"
[event]
userId = { column = "card" }
event = { column = "kind", values = { sale = "Order Completed", refund = "Order Refunded" } }
timestamp = { column = "sold_at", format = "%d.%m.%Y %H:%M" }
messageId = { column = "receipt" }
[properties]
order_id = { column = "receipt" }
total = { column = "amount", number = true }
currency = "EUR"
"""
# The console script; at its end it prints the line of Linux with its peak memory.
_CLI = (
    "import atexit; from throughline.cli import main; "
    "atexit.register(lambda: print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))); main()"
)


class Files(NamedTuple):
    """The files that are imported, and the mapping of the CSV."""

    lines: Path
    sales: Path
    mapping: Path


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Rows a second, the start of the command included; JSON lines, CSV and the baseline take turns."""
    rates: dict[str, list[float]] = {"lines": [], "sales": [], "request per row": []}
    memory = 0
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        await deployment.run("ingest")
        files = _files(deployment.folder, sizes.imported_rows)
        for _ in range(sizes.rounds):
            for name, options in (("lines", ()), ("sales", ("--mapping", str(files.mapping)))):
                file = getattr(files, name)
                began = perf_counter()
                output = await _import(deployment, file, *options)
                rates[name].append(sizes.imported_rows / (perf_counter() - began))
                _check(file, sizes.imported_rows)
                memory = max(memory, int(output.split()[-2]) // 1024)
                print_progress(f"import: {file.name} {rates[name][-1]:,.0f} rows/s")
            posted = str(sizes.posted_rows)
            output = await run_python(
                "bench.baselines.request_per_row",
                deployment.services[0].url,
                deployment.write_key,
                str(files.lines),
                posted,
            )
            rates["request per row"].append(sizes.posted_rows / float(output))
            print_progress(f"import: request per row {rates['request per row'][-1]:,.0f} rows/s")
    note = f"{sizes.imported_rows:,} rows of {{}} bytes, baseline {sizes.posted_rows:,}; the command took {memory} MB"
    return [
        Row(
            name=f"import, {what}",
            unit="rows/s",
            rounds=rates[name],
            baseline="one request a row",
            baseline_rounds=rates["request per row"],
            goal=Goal("ratio", least=10),
            note=note.format(getattr(files, name).stat().st_size // sizes.imported_rows),
        )
        for name, what in (("lines", "JSON lines"), ("sales", "CSV with a mapping"))
    ]


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """The command while it imports the CSV, profiled."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        await deployment.run("ingest")
        files = _files(deployment.folder, sizes.imported_rows)
        run = f"cProfile.run('app(standalone_mode=False)', {str(file)!r})"
        code = f"import cProfile; from throughline.cli import app; {run}"
        await _import(deployment, files.sales, "--mapping", str(files.mapping), code=code)


async def _import(deployment: Deployment, file: Path, *options: str, code: str = _CLI) -> bytes:
    target = ("--url", deployment.services[0].url, "--key", deployment.write_key, "--restart")
    return await run_command(sys.executable, "-c", code, "import", str(file), *options, *target)


def _check(file: Path, rows: int) -> None:
    imported = json.loads(file.with_name(f"{file.name}.progress.json").read_text())
    if (imported["ok"], imported["done"]) != (rows, True):
        raise RuntimeError(f"{imported['ok']:,} of {rows:,} rows of {file.name} were accepted: {imported['reasons']}")


def _files(folder: Path, rows: int) -> Files:
    files = Files(*(folder / name for name in ("import.jsonl", "import.csv", "import.toml")))
    with files.lines.open("wb") as lines:
        for action in log_of_actions(rows):
            user = f"customer-{action.customer:07d}"
            at_us = START_US + round(action.at * 1e6)
            event = segment_event(action, message_id=f"{user}-{action.number}", user_id=user, at_us=at_us)
            lines.write(msgspec.json.encode(event) + b"\n")
    random = Random(5)
    with files.sales.open("w") as sales:
        sales.write("receipt,sold_at,card,kind,amount,store\n")
        for number in range(rows):
            kind, day = random.choices(("sale", "refund"), (97, 3))[0], 1 + number * 28 // rows
            amount = random.randrange(100, 20_000) / 100
            sales.write(f"R-{number},{day:02d}.01.2026 09:30,c{random.randrange(rows // 5)},{kind},{amount:.2f},Graz\n")
    files.mapping.write_text(MAPPING)
    return files
