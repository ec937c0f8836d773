"""`throughline restage`: journeys computed anew under a model, and switched to when they are whole."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.cli.common.database import administering, chosen_workspace, with_engine
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.options import DataOption, WorkspaceUnlessSingleOption
from throughline.cli.common.output import INTERRUPTED, say
from throughline.kit.clock import now_us
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading

CHECK_SECONDS = 0.5
STALL_SECONDS = 15.0
LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to draw a bar on."""


def restage(
    model: Annotated[str, typer.Option("--model", help="A shipped model, or one that `throughline model add` added.")],
    workspace: WorkspaceUnlessSingleOption = None,
    use: Annotated[bool, typer.Option("--use", help="Make it the default model once it is whole.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is whole, and switch then.")] = True,
    data: DataOption = None,
) -> None:
    """Compute all journeys anew under a model, from the stored facts, while traffic goes on; then switch to them.

    The stagers do the work, and go on with it if this command is ended. Run it again to watch, and to switch.
    """

    async def work(engine: AsyncEngine) -> None:
        async with administering(engine, "restage", {"model": model}) as (connection, entry):
            workspace_name = await chosen_workspace(connection, workspace)
            entry["workspace"] = workspace_name
            document = await generations.read_document(connection, workspace_name, model)
            generation = await generations.begin_restage(
                connection, workspace_name, model, document=document, now_us=now_us()
            )
        if not wait:
            say(
                f"the stagers restage model {model!r} of workspace {workspace_name!r}; "
                "run this again to wait and switch"
            )
            return
        progress = await _watch(engine, generation, model)
        if progress is None:
            say("the stagers go on; run the same command again to watch them and to switch")
            raise typer.Exit(INTERRUPTED)
        arguments = {"workspace": workspace_name, "model": model, "use": use}
        async with administering(engine, "restage switch", arguments) as (connection, _):
            await generations.switch(connection, generation)
            if use:
                await generations.set_default_model(connection, workspace_name, model)
        say(
            f"model {model!r} of workspace {workspace_name!r} is live with {progress.customers:,} customers restaged "
            f"from {progress.touchpoints:,} touchpoints" + ("; it is the default now" if use else "")
        )

    with_engine(work, data)


async def _watch(engine: AsyncEngine, generation: int, model: str) -> generations.RestageProgress | None:
    """Show how far a generation is until it is whole; None when Ctrl-C has ended the watch."""
    started = moved = time.monotonic()
    stall_reported = False
    first = last = await _read_progress(engine, generation)
    with _display(f"restaging {model}") as display, interrupted() as ended:
        while True:
            now = time.monotonic()
            display.show(last, (last.touchpoints - first.touchpoints) / max(now - started, CHECK_SECONDS))
            if last.is_whole:
                return last
            if not stall_reported and now - moved > STALL_SECONDS:
                stall_reported = True
                say(
                    f"nothing has moved for {STALL_SECONDS:.0f} s: a stager does this work and none seems to run "
                    "(its /readyz says whether it can); waiting for one"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), CHECK_SECONDS)
            if ended.is_set():
                return None
            before, last = last, await _read_progress(engine, generation)
            if not last.slots:
                return before  # somebody else has switched to the generation, or retired it
            if last != before:
                moved, stall_reported = time.monotonic(), False


async def _read_progress(engine: AsyncEngine, generation: int) -> generations.RestageProgress:
    async with reading(engine) as connection:
        return await generations.read_progress(connection, generation)


class _Display:
    """Draws a bar on a terminal; writes a line every `LINE_SECONDS` elsewhere."""

    def __init__(self, label: str, bar: Progress | None) -> None:
        self._label = label
        self._bar = bar
        self._task = None if bar is None else bar.add_task(label, total=1.0, counts="")
        self._next_line_at = 0.0

    def show(self, progress: generations.RestageProgress, touchpoints_per_second: float) -> None:
        counts = (
            f"{progress.customers:,} of about {progress.of_customers:,} customers, "
            f"{progress.touchpoints:,} touchpoints, {touchpoints_per_second:,.0f}/s"
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.fraction, counts=counts)
        elif progress.is_whole or time.monotonic() >= self._next_line_at:
            say(f"{self._label}: {progress.fraction:.0%}, {counts}")
            self._next_line_at = time.monotonic() + LINE_SECONDS


@contextmanager
def _display(label: str) -> Iterator[_Display]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Display(label, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[counts]}"))
    with Progress(*columns, console=console) as bar:
        yield _Display(label, bar)
