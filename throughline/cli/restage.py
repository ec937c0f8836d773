"""`throughline restage`: journeys computed anew under a model, and switched to when they are whole."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as Bar
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.cli.common.database import Data, with_engine
from throughline.cli.common.interrupt import interrupted
from throughline.cli.common.output import say
from throughline.cli.models import InWorkspace, chosen_workspace
from throughline.kit.clock import now_us
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.generations import RestageProgress

LOOK_SECONDS = 0.5
STALL_SECONDS = 15.0
LINE_SECONDS = 10.0
"""Between two lines of progress where there is no terminal to draw a bar on."""

_INTERRUPTED = 130


def restage(
    model: Annotated[str, typer.Option("--model", help="A shipped model, or one that `throughline model add` added.")],
    workspace: InWorkspace = None,
    use: Annotated[bool, typer.Option("--use", help="Make it the default model once it is whole.")] = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it is whole, and switch then.")] = True,
    data: Data = None,
) -> None:
    """Compute all journeys anew under a model, from the stored facts, while traffic goes on; then switch to them.

    The stagers do the work, and go on with it if this command is ended. Run it again to watch, and to switch.
    """

    async def work(engine: AsyncEngine) -> None:
        async with transaction(engine) as connection:
            where = await chosen_workspace(connection, workspace)
            document = await generations.read_document(connection, where, model)
            begun = await generations.begin_restage(connection, where, model, document=document, now_us=now_us())
        if not wait:
            say(f"the stagers restage model {model!r} of workspace {where!r}; run this again to wait and switch")
            return
        done = await _watch(engine, begun, model)
        if done is None:
            say("the stagers go on; run the same command again to watch them and to switch")
            raise typer.Exit(_INTERRUPTED)
        async with transaction(engine) as connection:
            await generations.switch(connection, begun)
            if use:
                await generations.set_default_model(connection, where, model)
        say(
            f"model {model!r} of workspace {where!r} is live with {done.customers:,} customers restaged "
            f"from {done.touchpoints:,} touchpoints" + ("; it is the default now" if use else "")
        )

    with_engine(work, data)


async def _watch(engine: AsyncEngine, generation: int, model: str) -> RestageProgress | None:
    """Show how far it is until it is whole; None when ended by hand."""
    started = moved = time.monotonic()
    told = False
    first = last = await _look(engine, generation)
    with _shown(f"restaging {model}") as show, interrupted() as ended:
        while True:
            now = time.monotonic()
            show(last, (last.touchpoints - first.touchpoints) / max(now - started, LOOK_SECONDS))
            if last.is_whole:
                return last
            if not told and now - moved > STALL_SECONDS:
                told = True
                say(
                    f"nothing has moved for {STALL_SECONDS:.0f} s: a stager does this work and none seems to run "
                    "(its /readyz says whether it can); waiting for one"
                )
            with suppress(TimeoutError):
                await asyncio.wait_for(ended.wait(), LOOK_SECONDS)
            if ended.is_set():
                return None
            before, last = last, await _look(engine, generation)
            if not last.slots:
                return before  # somebody else has switched to it, or it was given up
            if last != before:
                moved, told = time.monotonic(), False


async def _look(engine: AsyncEngine, generation: int) -> RestageProgress:
    async with reading(engine) as connection:
        return await generations.read_progress(connection, generation)


class _Show:
    """Draws a bar on a terminal, and writes a line now and then elsewhere."""

    def __init__(self, what: str, bar: Bar | None) -> None:
        self._what = what
        self._bar = bar
        self._task = None if bar is None else bar.add_task(what, total=1.0, counts="")
        self._line_at = 0.0

    def __call__(self, progress: RestageProgress, per_second: float) -> None:
        counts = (
            f"{progress.customers:,} of about {progress.of_customers:,} customers, "
            f"{progress.touchpoints:,} touchpoints, {per_second:,.0f}/s"
        )
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=progress.fraction, counts=counts)
        elif progress.is_whole or time.monotonic() >= self._line_at:
            say(f"{self._what}: {progress.fraction:.0%}, {counts}")
            self._line_at = time.monotonic() + LINE_SECONDS


@contextmanager
def _shown(what: str) -> Iterator[_Show]:
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _Show(what, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TextColumn("{task.fields[counts]}"))
    with Bar(*columns, console=console) as bar:
        yield _Show(what, bar)
