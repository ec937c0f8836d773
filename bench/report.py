"""The table: one row per figure, on the terminal, as Markdown and as JSON."""

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

HEADINGS = ("figure", "ours", "baseline", "", "ratio", "goal", "")


class Goal(msgspec.Struct):
    """The bound of a row's ratio (ours to the baseline's) or of its value."""

    of: Literal["ratio", "value"]
    least: float | None = None
    most: float | None = None

    def met(self, row: "Row") -> bool:
        """Whether the row is within the bound."""
        value = row.ratio if self.of == "ratio" else row.ours
        assert value is not None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)

    def text(self, unit: str) -> str:
        bound = f">= {self.least:,g}" if self.least is not None else f"<= {self.most:,g}"
        return f"ratio {bound}" if self.of == "ratio" else f"{bound} {unit}"


class Row(msgspec.Struct, kw_only=True):
    """One figure: the median of its rounds, beside the median of the baseline's."""

    name: str
    unit: str
    rounds: list[float]
    baseline: str = ""
    baseline_rounds: list[float] = []
    goal: Goal | None = None
    note: str = ""

    @property
    def ours(self) -> float:
        return median(self.rounds)

    @property
    def theirs(self) -> float | None:
        return median(self.baseline_rounds) if self.baseline_rounds else None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.goal.met(self) else "MISSED"

    def cells(self) -> tuple[str, ...]:
        """The row as the table shows it."""
        theirs = "" if self.theirs is None else _number(self.theirs)
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}" if self.ratio < 10 else f"{self.ratio:.1f}"
        goal = "" if self.goal is None else self.goal.text(self.unit)
        return (self.name, f"{_number(self.ours)} {self.unit}", theirs, self.baseline, ratio, goal, self.verdict)


def print_table(rows: Sequence[Row], *, title: str) -> None:
    """Print the table and, below it, the notes."""
    table = Table(*HEADINGS, title=title, title_justify="left")
    for index in (1, 2, 4):
        table.columns[index].justify = "right"
    for row in rows:
        style = {"MISSED": "bold red", "met": "green"}.get(row.verdict, "")
        *cells, verdict = row.cells()
        table.add_row(*cells, f"[{style}]{verdict}[/]" if style else verdict)
    # A pipe has no width: without one, rich would cut the table to 80 columns.
    console = Console() if os.isatty(1) else Console(width=200)
    console.print(table)
    for row in rows:
        if row.note:
            console.print(f"{row.name}: {row.note}", highlight=False, markup=False)


def markdown(rows: Sequence[Row], about: dict[str, Any]) -> str:
    """The table for docs/performance.md."""
    lines = [about_text(about), "", "| " + " | ".join(HEADINGS) + " |", "|---|--:|--:|---|--:|---|---|"]
    lines += ["| " + " | ".join(row.cells()) + " |" for row in rows]
    return "\n".join([*lines, "", *(f"- {row.name}: {row.note}" for row in rows if row.note)])


def write_json(path: Path, rows: Sequence[Row], about: dict[str, Any]) -> None:
    """Write everything measured, with the rounds behind each median."""
    measured = [
        {
            **msgspec.to_builtins(row),
            "ours": row.ours,
            "theirs": row.theirs,
            "ratio": row.ratio,
            "verdict": row.verdict or None,
        }
        for row in rows
    ]
    path.write_bytes(msgspec.json.format(msgspec.json.encode({**about, "rows": measured})) + b"\n")


def read_json(path: Path) -> tuple[list[Row], dict[str, Any]]:
    """The rows that `write_json` wrote, and what they were measured on."""
    about = msgspec.json.decode(path.read_bytes())
    return msgspec.convert(about.pop("rows"), list[Row]), about


def machine() -> dict[str, Any]:
    """The machine that the figures are measured on, and its load before."""
    names = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return {
        "cpu": names[0] if names else platform.processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
    }


def about_text(about: dict[str, Any]) -> str:
    """One line on when, where and against what the figures were measured."""
    m = about["machine"]
    quick = " With --quick: these figures measure nothing." if about["quick"] else ""
    against = f" Against {about['against']}." if "against" in about else ""
    return (
        f"{about['at']}, {m['cores']} cores ({m['cpu']}), {m['memory_gb']} GB, {m['system']}, Python {m['python']}, "
        f"load average before {m['load_before']}, took {about['seconds']:.0f} s.{against}{quick}"
    )


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def _number(value: float) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"
