"""Rows to ingest in batches, several under way at once, each until it is taken; progress that survives a kill."""

import asyncio
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import BinaryIO

import httpx
import msgspec

from throughline.cli.common.deliver import NotTakenError, deliver, problem_of
from throughline.cli.common.target import Target
from throughline.cli.importing.rows import Row

EARLIEST = "2000-01-01"
"""Times of rows before it are zeros and wrong units."""
MAX_BATCHES_UNDER_WAY = 4
MAX_BATCH_ROWS = 500
MAX_BATCH_BYTES = 400 * 1024

VerdictFields = dict[str, str]
"""One verdict of ingest's answer: verdict, and for any but ok also code, field and message."""


def destination_of(target: Target) -> str:
    """A short digest of a target, which tells nobody its key."""
    return blake2b(f"{target.url.rstrip('/')}\0{target.write_key}".encode(), digest_size=6).hexdigest()


@dataclass
class ImportProgress:
    """How far an import is; written beside the file after every batch."""

    fingerprint: str
    destination: str = ""
    """Where the rows go: `destination_of` the target."""
    rows: int = 0
    """Number of rows, or events of rows, from the first, that have their verdict."""
    ok: int = 0
    warning: int = 0
    rejected: int = 0
    dropped: int = 0
    refused_bytes: int = 0
    """Length of the file of rejected rows."""
    done: bool = False
    reasons: dict[str, int] = field(default_factory=dict)
    """Number of rows by verdict, code and field, those that are ok left out."""

    @classmethod
    def read(cls, path: Path) -> "ImportProgress | None":
        """The progress in a file; None when there is no such file, or it cannot be read."""
        try:
            return cls(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def write(self, path: Path) -> None:
        """Write the file, whole or not at all."""
        part = path.with_name(f"{path.name}.part")
        part.write_text(json.dumps(asdict(self)))
        part.replace(path)


@dataclass
class _Batch:
    """Rows that stand one after the other in the file."""

    rows: list[Row]
    events: list[Row]
    """The rows that are sent: those without a fault."""


async def send(
    rows: Iterable[Row],
    target: Target,
    progress: ImportProgress,
    files: tuple[Path, Path],
    say: Callable[[str], None],
    earliest: str = EARLIEST,
) -> None:
    """Send rows, and record the verdict of each.

    Args:
        rows: the rows that have no verdict yet, in order.
        target: ingest, and the key of the source.
        progress: brought up to date with each batch, in the rows' order.
        files: the file of the progress, and that of the rejected rows (JSON lines: row, code, field, message, event).
        say: called with a sentence when ingest does not take events now.
        earliest: the earliest time that a row can have, as ISO 8601.

    Raises:
        NotTakenError: ingest refuses the key, or takes nothing for `PATIENCE_SECONDS`.
    """
    progress_file, rejected_file = files
    under_way: deque[tuple[_Batch, asyncio.Task[list[VerdictFields]]]] = deque()
    batches = _batches(rows)
    with rejected_file.open("ab") as out:
        out.truncate(progress.refused_bytes)
        async with httpx.AsyncClient(
            base_url=target.url, auth=(target.write_key, ""), headers=target.operator_headers, timeout=30
        ) as client:
            try:
                while True:
                    while len(under_way) < MAX_BATCHES_UNDER_WAY and (batch := next(batches, None)) is not None:
                        under_way.append((batch, asyncio.create_task(_deliver(client, batch.events, say, earliest))))
                    if not under_way:
                        break
                    batch, task = under_way.popleft()
                    try:
                        verdicts = await task
                    finally:
                        task.cancel()
                    _record(progress, batch, verdicts, out)
                    out.flush()
                    progress.write(progress_file)
            finally:
                for _, task in under_way:
                    task.cancel()
                await asyncio.gather(*(task for _, task in under_way), return_exceptions=True)
    progress.done = True
    progress.write(progress_file)


def _batches(rows: Iterable[Row]) -> Iterator[_Batch]:
    batch, size = _Batch([], []), 0
    for row in rows:
        if batch.rows and (len(batch.rows) >= MAX_BATCH_ROWS or size + len(row.event) > MAX_BATCH_BYTES):
            yield batch
            batch, size = _Batch([], []), 0
        batch.rows.append(row)
        if row.error is None:
            batch.events.append(row)
            size += len(row.event) + 1
    if batch.rows:
        yield batch


async def _deliver(
    client: httpx.AsyncClient, events: list[Row], say: Callable[[str], None], earliest: str
) -> list[VerdictFields]:
    """Send some events and return their verdicts, in their order."""
    if not events:
        return []
    body = b'{"batch":[' + b",".join(row.event for row in events) + b"]}"
    headers = {
        "Content-Type": "application/json",
        "X-Throughline-History": earliest,
        "X-Throughline-Place": str(events[0].place),
    }
    answer = await deliver(client, "/v1/batch", body, headers, say)
    if answer.status_code != 200:
        raise NotTakenError(f"ingest at {client.base_url} answers {answer.status_code}: {problem_of(answer).message}")
    verdicts: list[VerdictFields] = answer.json()["verdicts"]
    return verdicts


def _record(progress: ImportProgress, batch: _Batch, verdicts: list[VerdictFields], out: BinaryIO) -> None:
    """Count each row of a batch by its verdict, and write the rejected ones."""
    next_verdict = iter(verdicts)
    for row in batch.rows:
        if row.error is None:
            verdict = next(next_verdict)
        else:
            verdict = {
                "verdict": "rejected",
                "code": row.error.code,
                "field": row.error.field,
                "message": str(row.error),
            }
        status = verdict["verdict"]
        setattr(progress, status, getattr(progress, status) + 1)
        if status != "ok":
            reason = f"{status}: {verdict['code']} {verdict['field']}".rstrip()
            progress.reasons[reason] = progress.reasons.get(reason, 0) + 1
        if status == "rejected":
            reason_fields = {name: verdict[name] for name in ("code", "field", "message")}
            event = row.event.decode(errors="replace")
            line = msgspec.json.encode({"row": row.number, **reason_fields, "event": event}) + b"\n"
            out.write(line)
            progress.refused_bytes += len(line)
    progress.rows += len(batch.rows)
