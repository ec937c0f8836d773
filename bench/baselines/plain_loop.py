"""The plain loop: aiokafka `getmany(500)`, one unnest upsert, commit. At least once, one process.

Per poll it decodes the same protobuf messages as the stager (our codec) and runs one statement, its own transaction:

- `WRITE=latest`: the latest event of each customer in the poll is upserted into `plain_latest (customer, name,
  occurred_us, channel, value, events)`, adding up how many there were.
- `WRITE=facts`: every touchpoint of the poll is inserted, all columns as the stager keeps them, into `plain_facts`,
  keyed by (actor id, message id), duplicates ignored.

Then it commits the offsets to Kafka. It has no journeys, no phases, no transitions and no counts; what comes again
after a crash is counted again (`latest`); from poll to poll the greater `occurred_us` wins, within a poll the last.
"""

import os
from collections.abc import Sequence

import asyncpg
import uvloop

from bench.baselines.consumer import DATABASE_URL, Progress, consumer
from throughline.journey.touchpoint import Touchpoint
from throughline.wire.codec import decode

LATEST_TABLE = """
CREATE TABLE IF NOT EXISTS plain_latest (customer text PRIMARY KEY, name text NOT NULL, occurred_us bigint NOT NULL,
    channel text NOT NULL, value double precision, events bigint NOT NULL) WITH (fillfactor = 70)
"""
LATEST = """
INSERT INTO plain_latest AS l
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[], $5::double precision[], $6::bigint[])
ON CONFLICT (customer) DO UPDATE SET events = l.events + excluded.events,
    name = CASE WHEN excluded.occurred_us >= l.occurred_us THEN excluded.name ELSE l.name END,
    channel = CASE WHEN excluded.occurred_us >= l.occurred_us THEN excluded.channel ELSE l.channel END,
    value = CASE WHEN excluded.occurred_us >= l.occurred_us THEN excluded.value ELSE l.value END,
    occurred_us = greatest(excluded.occurred_us, l.occurred_us)
"""

FACTS_COLUMNS = {
    "actor": "text",
    "message_id": "text",
    "occurred_us": "bigint",
    "received_us": "bigint",
    "source": "bigint",
    "channel": "text",
    "call": "text",
    "name": "text",
    "user_id": "text",
    "anonymous_id": "text",
    "previous_id": "text",
    "order_id": "text",
    "value": "double precision",
    "currency": "text",
    "rating": "double precision",
    "score": "double precision",
    "product_id": "text",
    "quantity": "double precision",
    "rest": "text",
}
FACTS_TABLE = (
    "CREATE TABLE IF NOT EXISTS plain_facts ("
    + ", ".join(f"{name} {kind}" for name, kind in FACTS_COLUMNS.items())
    + ", PRIMARY KEY (actor, message_id))"
)
FACTS = (
    "INSERT INTO plain_facts SELECT * FROM unnest("
    + ", ".join(f"${number}::{kind}[]" for number, kind in enumerate(FACTS_COLUMNS.values(), 1))
    + ") ON CONFLICT DO NOTHING"
)


async def run() -> None:
    """Consume until all expected events are committed."""
    facts = os.environ["WRITE"] == "facts"
    connection = await asyncpg.connect(DATABASE_URL, server_settings={"jit": "off"})
    await connection.execute(FACTS_TABLE if facts else LATEST_TABLE)
    statement = await connection.prepare(FACTS if facts else LATEST)
    kafka = consumer(enable_auto_commit=False)
    await kafka.start()
    progress = Progress()
    while not progress.finished:
        polled = await kafka.getmany(timeout_ms=1_000, max_records=500)
        touchpoints = [decode(record.value) for records in polled.values() for record in records]
        if touchpoints:
            await statement.fetch(*(_facts(touchpoints) if facts else _latest(touchpoints)))
            await kafka.commit()
            progress.add(len(touchpoints))
    progress.print_rate()
    await kafka.stop()
    await connection.close()


def _latest(touchpoints: Sequence[Touchpoint]) -> list[list[object]]:
    latest: dict[str, list[object]] = {}
    for t in touchpoints:
        row = latest.get(t.actor)
        if row is None:
            latest[t.actor] = [t.actor, t.name, t.occurred_us, t.channel, t.value, 1]
        else:
            row[1:] = [t.name, t.occurred_us, t.channel, t.value, row[5] + 1]  # type: ignore[operator]
    return [list(column) for column in zip(*latest.values(), strict=True)]


def _facts(touchpoints: Sequence[Touchpoint]) -> list[list[object]]:
    return [[getattr(t, name) for t in touchpoints] for name in FACTS_COLUMNS]


if __name__ == "__main__":
    uvloop.run(run())
