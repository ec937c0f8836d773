"""`throughline import`: rows a second from a file to Kafka's acknowledgement, beside one request for each row."""

import json
import sys
from pathlib import Path
from random import Random
from time import perf_counter
from typing import NamedTuple

import msgspec

from bench.bed import Bed, Scale, Site, run_command, run_python, say
from bench.events import log_of, segment_event
from bench.report import Goal, Row

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
# The console script, and at the end the line of Linux that says how much memory it had at most.
_CLI = (
    "import atexit; from throughline.cli import main; "
    "atexit.register(lambda: print(*(line for line in open('/proc/self/status') if line.startswith('VmHWM')))); main()"
)


class Files(NamedTuple):
    """What is imported."""

    lines: Path
    sales: Path
    mapping: Path


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """Rows a second, the command's start included; the three take turns."""
    rates: dict[str, list[float]] = {"lines": [], "sales": [], "one by one": []}
    memory = 0
    async with bed.topic() as topic, bed.site(topic) as site:
        await site.run("ingest")
        files = _files(site.folder, scale.imported_rows)
        for _ in range(scale.rounds):
            for name, options in (("lines", ()), ("sales", ("--mapping", str(files.mapping)))):
                file = getattr(files, name)
                began = perf_counter()
                output = await _import(site, file, *options)
                rates[name].append(scale.imported_rows / (perf_counter() - began))
                _check(file, scale.imported_rows)
                memory = max(memory, int(output.split()[-2]) // 1024)
                say(f"import: {file.name} {rates[name][-1]:,.0f} rows/s")
            posted = str(scale.posted_rows)
            output = await run_python(
                "bench.baselines.one_by_one", site.services[0].url, site.write_key, str(files.lines), posted
            )
            rates["one by one"].append(scale.posted_rows / float(output))
            say(f"import: one by one {rates['one by one'][-1]:,.0f} rows/s")
    note = f"{scale.imported_rows:,} rows of {{}} bytes, baseline {scale.posted_rows:,}; the command took {memory} MB"
    return [
        Row(
            name=f"import, {what}",
            unit="rows/s",
            rounds=rates[name],
            baseline="one request a row",
            baseline_rounds=rates["one by one"],
            goal=Goal("ratio", least=10),
            note=note.format(getattr(files, name).stat().st_size // scale.imported_rows),
        )
        for name, what in (("lines", "JSON lines"), ("sales", "CSV with a mapping"))
    ]


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """The command while it imports the CSV, profiled."""
    async with bed.topic() as topic, bed.site(topic) as site:
        await site.run("ingest")
        files = _files(site.folder, scale.imported_rows)
        run = f"cProfile.run('app(standalone_mode=False)', {str(file)!r})"
        code = f"import cProfile; from throughline.cli import app; {run}"
        await _import(site, files.sales, "--mapping", str(files.mapping), code=code)


async def _import(site: Site, file: Path, *options: str, code: str = _CLI) -> bytes:
    target = ("--url", site.services[0].url, "--key", site.write_key, "--restart")
    return await run_command(sys.executable, "-c", code, "import", str(file), *options, *target)


def _check(file: Path, rows: int) -> None:
    progress = json.loads(file.with_name(f"{file.name}.progress.json").read_text())
    if (progress["ok"], progress["done"]) != (rows, True):
        raise RuntimeError(f"{progress['ok']:,} of {rows:,} rows of {file.name} were taken: {progress['reasons']}")


def _files(folder: Path, rows: int) -> Files:
    files = Files(*(folder / name for name in ("import.jsonl", "import.csv", "import.toml")))
    with files.lines.open("wb") as lines:
        for act in log_of(rows):
            user = f"customer-{act.customer:07d}"
            at_us = START_US + round(act.at * 1e6)
            event = segment_event(act, message_id=f"{user}-{act.number}", user_id=user, at_us=at_us)
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
