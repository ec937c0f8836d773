"""`python -m bench [--only NAME ...] [--quick] [--profile NAME] [--markdown]`."""

import argparse
import asyncio
import contextlib
import io
import pstats
import sys
import tempfile
import time
import traceback
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import report
from bench.bed import QUICK, Bed, Scale, make_bed, say
from bench.figures import batches, imports, journeys, million, parse, single, staging, visible

FIGURES: dict[str, ModuleType] = {
    "parse": parse,
    "single": single,
    "batches": batches,
    "staging": staging,
    "journeys": journeys,
    "import": imports,
    "visible": visible,
    "million": million,
}
ALONE = frozenset({"parse"})
"""Measured in this process, without Kafka and PostgreSQL."""
JSON = Path("bench.json")
LINES = 25


def main() -> int:
    """Measure, print, write bench.json. Status 1 when a figure could not be measured; a missed goal is a result."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=FIGURES, help="measure this one; may be repeated")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: does it run? The figures say nothing")
    parser.add_argument("--profile", choices=FIGURES, help="instead of measuring, say where our service's time goes")
    parser.add_argument("--markdown", action="store_true", help="print bench.json as Markdown and measure nothing")
    arguments = parser.parse_args()
    scale = QUICK if arguments.quick else Scale()
    if arguments.markdown:
        print(report.markdown(*report.read_json(JSON)))
        return 0
    if arguments.profile:
        asyncio.run(_profile(arguments.profile, scale))
        return 0
    about: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="minutes"), "machine": report.machine()}
    started = time.monotonic()
    rows, failed = asyncio.run(_measure(arguments.only or list(FIGURES), scale))
    about |= {"quick": arguments.quick, "seconds": time.monotonic() - started, "failed": failed}
    report.print_table(rows, title=report.about_text(about))
    report.write_json(JSON, rows, about)
    if failed:
        say(f"could not be measured: {', '.join(failed)} (why stands above)")
    return 1 if failed else 0


async def _measure(names: list[str], scale: Scale) -> tuple[list[report.Row], list[str]]:
    """The rows, and the names of what could not be measured: one failure does not cost the others."""
    rows: list[report.Row] = []
    failed: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        bed: Bed | None = None
        # Those that need no servers come first, while there are none.
        for name in sorted(names, key=lambda name: name not in ALONE):
            if bed is None and name not in ALONE:
                bed = await stack.enter_async_context(make_bed())
            started = time.monotonic()
            try:
                rows += await FIGURES[name].measure(*_given(name, bed), scale)
            except Exception:
                traceback.print_exc()
                failed.append(name)
            if bed is not None:
                await bed.settle()
            say(f"{name}: took {time.monotonic() - started:.0f} s")
    return rows, failed


def _given(name: str, bed: Bed | None) -> tuple[Bed, ...]:
    return () if bed is None or name in ALONE else (bed,)


async def _profile(name: str, scale: Scale) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "profile")
        async with contextlib.nullcontext() if name in ALONE else make_bed() as bed:
            await FIGURES[name].profile(*_given(name, bed), scale, file)
        for order in ("tottime", "cumulative"):
            text = io.StringIO()
            pstats.Stats(str(file), stream=text).strip_dirs().sort_stats(order).print_stats(LINES)
            print(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
