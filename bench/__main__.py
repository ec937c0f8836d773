"""Measure the services under load, beside named baselines or beside another checkout of the project."""

import argparse
import asyncio
import contextlib
import io
import pstats
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import report
from bench.figures import (
    analytics,
    batches,
    cost,
    fold,
    importing,
    journeys,
    latency,
    page,
    parse,
    scaling,
    single,
    staging,
)
from bench.servers import QUICK, Checkout, Servers, Sizes, checkout_of, print_progress, start_servers

FIGURES: dict[str, ModuleType] = {
    "parse": parse,
    "fold": fold,
    "single": single,
    "batches": batches,
    "staging": staging,
    "journeys": journeys,
    "import": importing,
    "analytics": analytics,
    "cost": cost,
    "latency": latency,
    "scaling": scaling,
    "page": page,
}
IN_PROCESS = frozenset({"parse", "fold"})
"""Figures that need neither Kafka nor PostgreSQL."""
COMPARABLE = tuple(name for name, figure in FIGURES.items() if hasattr(figure, "compare"))
JSON = Path("bench.json")
PROFILE_LINES = 25


def main() -> int:
    """Measure, print the table and write bench.json.

    Status 1 when a figure could not be measured; a goal that is missed is a result.
    """
    arguments = _arguments()
    sizes = QUICK if arguments.quick else Sizes()
    if arguments.markdown:
        print(report.markdown(*report.read_json(JSON)))
        return 0
    if arguments.profile:
        asyncio.run(_profile(arguments.profile, sizes))
        return 0
    other = checkout_of(arguments.against) if arguments.against else None
    about: dict[str, Any] = {"at": datetime.now(UTC).isoformat(timespec="minutes"), "machine": report.machine()}
    about |= {"against": other.label} if other else {}
    began = time.monotonic()
    rows, failed = asyncio.run(_measure(arguments.only or list(COMPARABLE if other else FIGURES), sizes, other))
    about |= {"quick": arguments.quick, "seconds": time.monotonic() - began, "failed": failed}
    report.print_table(rows, title=report.about_text(about))
    report.write_json(JSON, rows, about)
    if failed:
        print_progress(f"could not be measured: {', '.join(failed)} (the reasons are above)")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--only",
        type=_figure_names,
        action="extend",
        metavar="NAME[,NAME]",
        help=f"measure these figures: {', '.join(FIGURES)}",
    )
    parser.add_argument(
        "--against",
        type=Path,
        metavar="DIR",
        help="measure beside the services of another checkout, which has a .venv, instead of beside the baselines: "
        f"{', '.join(COMPARABLE)}",
    )
    parser.add_argument("--quick", action="store_true", help="a few seconds each, to see that it runs; no measurement")
    parser.add_argument("--profile", choices=FIGURES, help="print where our service's time goes; measure nothing")
    parser.add_argument("--markdown", action="store_true", help="print bench.json as Markdown; measure nothing")
    arguments = parser.parse_args()
    for name in arguments.only or ():
        if arguments.against and name not in COMPARABLE:
            parser.error(f"--against cannot measure {name}, only {', '.join(COMPARABLE)}")
    return arguments


def _figure_names(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in FIGURES:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(FIGURES)}")
    return names


async def _measure(names: list[str], sizes: Sizes, other: Checkout | None) -> tuple[list[report.Row], list[str]]:
    """The rows, and the names of the figures that failed: one failure does not cost the others."""
    rows: list[report.Row] = []
    failed: list[str] = []
    async with contextlib.AsyncExitStack() as stack:
        servers: Servers | None = None
        # Those that need no servers come first, while there are none.
        for name in sorted(names, key=lambda name: name not in IN_PROCESS):
            if servers is None and name not in IN_PROCESS:
                servers = await stack.enter_async_context(start_servers())
            began = time.monotonic()
            measure: Callable[..., Awaitable[list[report.Row]]] = FIGURES[name].measure
            against: tuple[Checkout, ...] = ()
            if other is not None:
                measure, against = FIGURES[name].compare, (other,)
            try:
                rows += await measure(*_servers_for(name, servers), sizes, *against)
            except Exception:
                traceback.print_exc()
                failed.append(name)
            if servers is not None:
                await servers.checkpoint()
            print_progress(f"{name}: took {time.monotonic() - began:.0f} s")
    return rows, failed


def _servers_for(name: str, servers: Servers | None) -> tuple[Servers, ...]:
    return () if servers is None or name in IN_PROCESS else (servers,)


async def _profile(name: str, sizes: Sizes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "profile")
        async with contextlib.nullcontext() if name in IN_PROCESS else start_servers() as servers:
            await FIGURES[name].profile(*_servers_for(name, servers), sizes, file)
        for order in ("tottime", "cumulative"):
            text = io.StringIO()
            pstats.Stats(str(file), stream=text).strip_dirs().sort_stats(order).print_stats(PROFILE_LINES)
            print(text.getvalue())


if __name__ == "__main__":
    sys.exit(main())
