"""`throughline restage`: journeys computed anew under a model, and switched to when they are whole."""

import asyncio
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, NamedTuple

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.cli.common.database import administering, chosen_workspace, with_engine
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.options import DataOption, JsonOption, WorkspaceUnlessSingleOption
from throughline.cli.common.output import say, show_result
from throughline.cli.common.status import Status
from throughline.kit.clock import now_us
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading

CHECK_SECONDS = 0.5
STALL_SECONDS = 15.0
LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to draw a bar on."""


UseOption = Annotated[bool, typer.Option("--use", help="Make it the default model once it is whole.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is whole, and switch then.")]


def restage(
    model: Annotated[str, typer.Option("--model", help="A shipped model, or one that `throughline model add` added.")],
    workspace: WorkspaceUnlessSingleOption = None,
    use: UseOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
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
        await until_live(engine, Restage(generation, model, workspace_name), use=use, wait=wait, as_json=as_json)

    with_engine(work, data)


class Restage(NamedTuple):
    """A generation that the stagers compute."""

    generation: int
    model: str
    workspace: str

    @property
    def next_command(self) -> str:
        return f"throughline restage --model {shlex.quote(self.model)} --workspace {shlex.quote(self.workspace)}"


async def until_live(engine: AsyncEngine, restaged: Restage, *, use: bool, wait: bool, as_json: bool) -> None:
    """Wait until the generation is whole and switch to it; without `wait`, or after Ctrl-C, say what does so later."""
    facts: dict[str, object] = {"model": restaged.model, "workspace": restaged.workspace}
    next_command = restaged.next_command + (" --use" if use else "")
    if not wait:
        show_result(
            {**facts, "state": "building", "next": next_command},
            f"the stagers restage model {restaged.model!r} of workspace {restaged.workspace!r}; it is not shown until "
            f"you switch to it: {next_command}",
            as_json=as_json,
        )
        return
    say("waiting for the stagers to compute its journeys from the stored facts; Ctrl-C leaves them at it")
    progress = await _watch(engine, restaged.generation, restaged.model)
    if progress is None:
        say(f"the stagers go on; to watch them and to switch: {next_command}")
        raise typer.Exit(Status.INTERRUPTED)
    arguments = {"workspace": restaged.workspace, "model": restaged.model, "use": use}
    async with administering(engine, "restage switch", arguments) as (connection, _):
        await generations.switch(connection, restaged.generation)
        if use:
            await generations.set_default_model(connection, restaged.workspace, restaged.model)
    default = "it is the default now" if use else f"`throughline model use {restaged.model}` makes it the default"
    show_result(
        {
            **facts,
            "state": "live",
            "default": use,
            "customers": progress.customers,
            "touchpoints": progress.touchpoints,
        },
        f"model {restaged.model!r} of workspace {restaged.workspace!r} is live with {progress.customers:,} customers "
        f"restaged from {progress.touchpoints:,} touchpoints; {default}",
        as_json=as_json,
    )


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
