"""The fold: touchpoints a second of one core, in memory, from a customer's first to its last and one after another.

Folding runs in processes of their own (`bench/folding.py`), which give their CPU time, so that other processes disturb
it little.
"""

import cProfile
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bench import folding
from bench.comparison import rate_row
from bench.figures import staging
from bench.report import Row
from bench.servers import OURS, Checkout, Sizes, print_progress, run_command
from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model
from throughline.wire.codec import encode

NAMES = ("fold, whole histories", "fold, one event after another")
PROGRAM = Path(folding.__file__).read_text()
TIMES = 3
"""Number of times that a process folds the log: it gives the best."""


async def measure(sizes: Sizes) -> list[Row]:
    """Both rates of ours."""
    rates = await _rates(sizes, (OURS,))
    return [
        Row(name=name, unit="events/s", rounds=[each[number] for each in rates[OURS]])
        for number, name in enumerate(NAMES)
    ]


async def compare(sizes: Sizes, other: Checkout) -> list[Row]:
    """Both rates, beside those of another checkout with the same log, in turns."""
    rates = await _rates(sizes, (OURS, other))
    return [
        rate_row(
            name, "events/s", [each[number] for each in rates[OURS]], [each[number] for each in rates[other]], other
        )
        for number, name in enumerate(NAMES)
    ]


async def profile(sizes: Sizes, file: Path) -> None:
    """Whole histories."""
    model = load_model("seven_phase")
    by_actor: dict[str, list[Touchpoint]] = {}
    for touchpoint in staging.ordered_log(sizes.staged_events):
        by_actor.setdefault(touchpoint.actor, []).append(touchpoint)
    profiler = cProfile.Profile()
    with profiler:
        for touchpoints in by_actor.values():
            fold(model, None, touchpoints)
    profiler.dump_stats(file)


async def _rates(sizes: Sizes, checkouts: tuple[Checkout, ...]) -> dict[Checkout, list[list[float]]]:
    rates: dict[Checkout, list[list[float]]] = {checkout: [] for checkout in checkouts}
    with tempfile.TemporaryDirectory() as folder:
        file = f"{folder}/log"
        _write(file, staging.ordered_log(sizes.staged_events))
        for number in range(sizes.rounds):
            for checkout in checkouts if number % 2 == 0 else reversed(checkouts):
                printed = await run_command(checkout.python, "-c", PROGRAM, file, str(TIMES), cwd=checkout.folder)
                rates[checkout].append([float(rate) for rate in printed.split()])
                print_progress(f"fold: {checkout.label} {rates[checkout][-1][0]:,.0f} events/s")
    return rates


def _write(file: str, log: Iterable[Touchpoint]) -> None:
    values = (encode(touchpoint) for touchpoint in log)
    Path(file).write_bytes(b"".join(len(value).to_bytes(4, "big") + value for value in values))
