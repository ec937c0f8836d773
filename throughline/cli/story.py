"""The demo's history: 90 days of the made-up shop, through ingest as any import, once for each data folder."""

import asyncio
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import httpx

from throughline.cli.common.target import Target
from throughline.cli.importing.rows import Row
from throughline.cli.importing.send import ImportProgress, destination_of, send
from throughline.demo.story import chapters, story
from throughline.kit.clock import now_us, rfc3339
from throughline.kit.run_file import RunFile

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
        _annotate(RunFile.read(folder), until_us, say)
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
