"""The demo's history: 90 days of the made-up shop, through ingest as any import, once for each data folder."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import httpx

from throughline.cli.common.database import administering
from throughline.cli.common.target import Target
from throughline.cli.importing.rows import Row
from throughline.cli.importing.send import ImportProgress, destination_of, send
from throughline.demo.journeys import CURRENCY
from throughline.demo.story import chapters, spent, story
from throughline.kit.clock import now_us, rfc3339
from throughline.kit.run_file import RunFile
from throughline.store.access.names import AdminError, workspace_id
from throughline.store.costs import Cost, write_costs
from throughline.store.engine.errors import failure_of
from throughline.store.engine.pool import create_engine

MINUTE_US = 60_000_000
FILES = ("story.progress.json", "story.rejected.jsonl")
"""In the data folder: how far the history is, and what ingest refused of it."""
API_SECONDS = 10.0


def import_story(target: Target, folder: Path, *, seed: int, customers: int, say: Callable[[str], None]) -> None:
    """Send the history that ends at this minute, unless the folder says that it was sent; go on if it was begun.

    Raises:
        NotTakenError: ingest refuses the key, or takes nothing.
    """
    progress_file, rejected_file = (folder / name for name in FILES)
    progress = ImportProgress.read(progress_file)
    if progress is not None and progress.done:
        return
    if progress is None:
        until_us = now_us() // MINUTE_US * MINUTE_US
        progress = ImportProgress(f"{seed} {until_us} {customers}", destination_of(target))
        progress.write(progress_file)
        running = RunFile.read(folder)
        _annotate(running, until_us, say)
        _import_costs(running, until_us, customers, say)
    seed, until_us, customers = map(int, progress.fingerprint.split())
    say(f"demo shop: 90 days of {customers:,} customers")
    rows = islice(_rows(story(seed, until_us, customers)), progress.rows, None)
    asyncio.run(send(rows, target, progress, (progress_file, rejected_file), say))
    say(f"demo shop: {progress.rows:,} events of history sent")


def _rows(events: Iterator[bytes]) -> Iterator[Row]:
    for place, event in enumerate(events):
        yield Row(place + 1, event, None, place)


def _annotate(running: RunFile | None, until_us: int, say: Callable[[str], None]) -> None:
    """Write on the time axes what happened in the story; a shop that nobody may annotate goes without."""
    if running is None or not running.read_token:
        return
    headers = {"Authorization": f"Bearer {running.read_token}"}
    try:
        with httpx.Client(base_url=running.api_url, headers=headers, timeout=API_SECONDS) as client:
            for chapter in chapters(until_us):
                body = {
                    "at": rfc3339(chapter.at_us),
                    "until": None if chapter.until_us is None else rfc3339(chapter.until_us),
                    "kind": chapter.kind,
                    "text": chapter.text,
                }
                client.post("/v1/annotations", json=body).raise_for_status()
    except httpx.HTTPError as error:
        say(f"demo shop: no annotations: {error}")


def _import_costs(running: RunFile | None, until_us: int, customers: int, say: Callable[[str], None]) -> None:
    """Say what the campaigns of the story have cost; a shop whose database is elsewhere goes without."""
    if running is None or not running.database_url:
        return
    try:
        asyncio.run(_write_costs(running, until_us, customers))
    except Exception as error:
        if failure_of(error) is None and not isinstance(error, AdminError):
            raise
        say(f"demo shop: no costs: {error}")


async def _write_costs(running: RunFile, until_us: int, customers: int) -> None:
    costs = [Cost("campaign", cost.day, cost.campaign, CURRENCY, cost.cents) for cost in spent(until_us, customers)]
    arguments = {"workspace": running.workspace, "file": "demo", "costs": len(costs)}
    engine = create_engine(running.database_url, pool_size=1, application_name="throughline demo")
    try:
        async with administering(engine, "cost import", arguments) as (connection, _):
            await write_costs(connection, await workspace_id(connection, running.workspace), costs)
    finally:
        await engine.dispose()
