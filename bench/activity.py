"""Where a service's time in PostgreSQL goes: its sessions, sampled."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

PAUSE_SECONDS = 0.01
WIDTH = 60
LINES = 15
_SESSIONS = """
SELECT state, coalesce(wait_event_type || ':' || wait_event, 'running'), query FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'throughline%'
"""


@asynccontextmanager
async def sampled_sessions(database_url: str) -> AsyncIterator[Counter[tuple[str, str]]]:
    """Counts, while the block runs, how often each session was in each state: (statement, wait event or "running").

    A session that is idle in a transaction waits for the service, and not the service for the session.
    """
    samples: Counter[tuple[str, str]] = Counter()
    connection = await asyncpg.connect(database_url)

    async def sample() -> None:
        statement = await connection.prepare(_SESSIONS)
        while True:
            for state, wait, query in await statement.fetch():
                if state == "active":
                    samples[" ".join(query.split())[:WIDTH], wait] += 1
                elif state == "idle in transaction":
                    samples["(the service computes, a transaction open)", ""] += 1
            await asyncio.sleep(PAUSE_SECONDS)

    sampling = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        sampling.cancel()
        await asyncio.wait([sampling])
        await connection.close()


def activity_table(samples: Counter[tuple[str, str]]) -> str:
    """The most frequent samples, with their shares of all."""
    total = sum(samples.values()) or 1
    lines = [f"{count / total:6.1%}  {wait:24} {what}" for (what, wait), count in samples.most_common(LINES)]
    return "\n".join([f"sessions in PostgreSQL, {total:,} samples:", *lines])
