"""Rows to ingest in batches, a few under way at once, again until they are taken; sums that survive a kill."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx
import msgspec

from throughline.cli.common.deliver import NotTakenError, deliver, reason_of
from throughline.cli.common.target import Target
from throughline.cli.importing.rows import Row

UNDER_WAY = 4
BATCH_EVENTS = 500
BATCH_BYTES = 400 * 1024


@dataclass
class Progress:
    """How far an import is; kept beside the file after every batch."""

    fingerprint: str
    rows: int = 0
    """All up to this one have their verdict."""
    ok: int = 0
    warning: int = 0
    rejected: int = 0
    dropped: int = 0
    refused_bytes: int = 0
    """Length of the file of refused rows."""
    done: bool = False
    reasons: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> "Progress | None":
        """What was kept; None when there is nothing, or nothing that can be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Keep it, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)


@dataclass
class _Batch:
    rows: list[Row]
    events: list[Row]
    """Those of the rows that are sent."""


async def send(
    rows: Iterable[Row], target: Target, progress: Progress, files: tuple[Path, Path], say: Callable[[str], None]
) -> None:
    """Send rows, and note what became of each.

    Args:
        rows: those that have no verdict yet, in order.
        target: where to.
        progress: brought up to date with each batch, in the rows' order.
        files: where progress is kept, and where refused rows go (JSON lines: row, code, field, message, event).
        say: told when ingest does not take them now.

    Raises:
        NotTakenError: ingest refuses the key, or takes nothing for `PATIENCE_SECONDS`.
    """
    kept, refused = files
    under_way: deque[tuple[_Batch, asyncio.Task[list[dict[str, Any]]]]] = deque()
    batches = _batches(rows)
    with refused.open("ab") as out:
        out.truncate(progress.refused_bytes)
        async with httpx.AsyncClient(base_url=target.url, auth=(target.write_key, ""), timeout=30) as client:
            try:
                while True:
                    while len(under_way) < UNDER_WAY and (batch := next(batches, None)) is not None:
                        under_way.append((batch, asyncio.create_task(_deliver(client, batch.events, say))))
                    if not under_way:
                        break
                    batch, task = under_way.popleft()
                    try:
                        verdicts = await task
                    finally:
                        task.cancel()
                    _note(progress, batch, verdicts, out)
                    out.flush()
                    progress.write(kept)
            finally:
                for _, task in under_way:
                    task.cancel()
                await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
    progress.done = True
    progress.write(kept)


def _batches(rows: Iterable[Row]) -> Iterator[_Batch]:
    batch, size = _Batch([], []), 0
    for row in rows:
        if batch.rows and (len(batch.rows) >= BATCH_EVENTS or size + len(row.event) > BATCH_BYTES):
            yield batch
            batch, size = _Batch([], []), 0
        batch.rows.append(row)
        if row.error is None:
            batch.events.append(row)
            size += len(row.event) + 1
    if batch.rows:
        yield batch


async def _deliver(client: httpx.AsyncClient, events: list[Row], say: Callable[[str], None]) -> list[dict[str, Any]]:
    """The verdicts of some events, in their order."""
    if not events:
        return []
    body = b'{"batch":[' + b",".join(row.event for row in events) + b"]}"
    answer = await deliver(client, "/v1/batch", body, {"Content-Type": "application/json"}, say)
    if answer.status_code != 200:
        raise NotTakenError(f"ingest at {client.base_url} answers {answer.status_code}: {reason_of(answer).message}")
    verdicts: list[dict[str, Any]] = answer.json()["verdicts"]
    return verdicts


def _note(progress: Progress, batch: _Batch, verdicts: list[dict[str, Any]], out: Any) -> None:
    judged = iter(verdicts)
    for row in batch.rows:
        if row.error is None:
            verdict = next(judged)
        else:
            verdict = {
                "verdict": "rejected",
                "code": row.error.code,
                "field": row.error.field,
                "message": str(row.error),
            }
        kind = verdict["verdict"]
        setattr(progress, kind, getattr(progress, kind) + 1)
        if kind != "ok":
            reason = f"{kind}: {verdict['code']} {verdict['field']}".rstrip()
            progress.reasons[reason] = progress.reasons.get(reason, 0) + 1
        if kind == "rejected":
            said = {name: verdict[name] for name in ("code", "field", "message")}
            event = row.event.decode(errors="replace")
            line = msgspec.json.encode({"row": row.number, **said, "event": event}) + b"\n"
            out.write(line)
            progress.refused_bytes += len(line)
    progress.rows = batch.rows[-1].number
