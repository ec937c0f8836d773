"""The last events of a workspace and what became of them, as `/v1/events/recent` says it. Pure."""

import base64
import codecs
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from services.api.events.explanations import explained
from services.api.events.queries import RecentRow
from services.api.phases.answers import Snapshot, instant
from services.api.rejected.queries import RejectedCount, RejectedRow
from throughline.kit.clock import rfc3339
from throughline.store.rejected import CONSENT


class Events(NamedTuple):
    """What one snapshot of the database holds of them."""

    taken: Sequence[RecentRow]
    refused: Sequence[RejectedRow]
    counts: Sequence[RejectedCount]
    """Of what was refused or dropped since `since_us`."""
    since_us: int
    applied_watermark_us: int | None


def recent_body(events: Events, sources: Mapping[int, str], limit: int) -> Snapshot:
    """The answer: the newest `limit` of both, newest first. Its ETag names the events and the counts."""
    items = [(row.received_us, _taken(row, sources)) for row in events.taken]
    items += [(row.received_us, _refused(row, sources)) for row in events.refused]
    items.sort(key=lambda item: -item[0])  # stable: events of one instant stay as they are
    changing = {
        "items": [item for _, item in items[:limit]],
        "counts": [count._asdict() | {"source": sources.get(count.source)} for count in events.counts],
        "counts_since": rfc3339(events.since_us),
        "sampled": any(count.kept < count.events for count in events.counts if count.stage != CONSENT),
    }
    digest = blake2b(msgspec.json.encode(changing), digest_size=12).hexdigest()
    as_of = instant(events.applied_watermark_us)
    # Weak: two answers with the same events may differ in as_of.
    return Snapshot(msgspec.json.encode({"as_of": as_of, **changing}), f'W/"{digest}"', as_of)


def _taken(row: RecentRow, sources: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": f"{row.source}-{row.shard}-{row.slot}-{row.number}",
        "received_at": rfc3339(row.received_us),
        "occurred_at": rfc3339(row.occurred_us),
        "source": sources.get(row.source),
        "verdict": "warning" if row.warnings else "ok",
        "call": row.call,
        "name": row.name,
        "actor": row.actor,
        "message_id": row.message_id,
        "channel": row.channel,
        "bot": row.bot,
        "warnings": explained(row.warnings),
        "refused": None,
    }


def _refused(row: RejectedRow, sources: Mapping[int, str]) -> dict[str, Any]:
    return {
        "id": f"r{row.id}",
        "received_at": rfc3339(row.received_us),
        "occurred_at": None,
        "source": sources.get(row.source),
        "verdict": "dropped" if row.stage == CONSENT else "rejected",
        "call": None,
        "name": row.name,
        "actor": None,
        "message_id": row.message_id,
        "channel": None,
        "bot": None,
        "warnings": [],
        "refused": {
            "stage": row.stage,
            "code": row.code,
            "field": row.field,
            "message": row.message,
            **payload_body(row.payload, row.payload_bytes),
        },
    }


def payload_body(payload: bytes, of_bytes: int) -> dict[str, Any]:
    """How an event that was refused begins, as text or else in base64. `of_bytes`: how long all of it is."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(payload, final=of_bytes == len(payload))
    except UnicodeDecodeError:
        encoding, text = "base64", base64.b64encode(payload).decode()
    else:
        encoding = "utf-8"
    return {"payload": text, "payload_encoding": encoding, "payload_bytes": of_bytes}
