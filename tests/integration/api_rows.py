"""Rows as stager writes them, put in by hand, for tests of the read side."""

import json
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import asyncpg

from throughline.store.digest import id_digest, message_digest

AT_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z
SECOND_US = 1_000_000
PHASES = ("discovery", "consideration", "decision", "purchase", "experience", "loyalty", "advocacy")


@dataclass
class Rows:
    """Writes to one workspace of one database."""

    url: str
    workspace: int
    topic: str = "touchpoints"
    model: int = 0
    source: int = 0

    async def __aenter__(self) -> "Rows":
        self._connection = await asyncpg.connect(self.url)
        self.model = await self._connection.fetchval("select id from models where workspace = $1", self.workspace)
        self.source = await self._connection.fetchval(
            "select id from sources where workspace = $1 order by id limit 1", self.workspace
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def through(self, at_us: int, *, partition: int = 0, topic: str | None = None) -> None:
        """Everything received before `at_us` is in."""
        await self._connection.execute(
            "insert into offsets values ($1, $2, 1, '', $3) "
            "on conflict (topic, partition) do update set through_us = excluded.through_us",
            topic or self.topic,
            partition,
            at_us,
        )

    async def count(
        self,
        phase: int,
        active: int = 0,
        *,
        lapsed: int = 0,
        left: int = 0,
        entered: int | None = None,
        shard: int = 0,
        source: int | None = None,
        channel: str = "direct",
    ) -> None:
        """Add to one row of the counts; `entered` is what it has to be unless said."""
        await self._connection.execute(
            "insert into phase_counts as c values ($1, $2, $3, $4, $5, $6, $7, $8, $9) "
            "on conflict (model, shard, source, channel, phase) do update set active = c.active + excluded.active, "
            "lapsed = c.lapsed + excluded.lapsed, entered = c.entered + excluded.entered, "
            '"left" = c."left" + excluded."left"',
            self.model,
            shard,
            source or self.source,
            channel,
            phase,
            active,
            lapsed,
            active + lapsed + left if entered is None else entered,
            left,
        )

    async def customer(
        self, customer: str, moves: list[tuple[int, int]], *, touchpoints: int = 0, channel: str = "direct"
    ) -> None:
        """A customer whose transitions are `moves`: (seconds after AT_US, phase); the touchpoints, a second apart."""
        digest = id_digest(self.workspace, customer)
        phase = moves[-1][1] if moves else 0
        entered_us = AT_US + (moves[-1][0] if moves else 0) * SECOND_US
        last_us = max(entered_us, AT_US + max(touchpoints - 1, 0) * SECOND_US)
        await self._connection.execute(
            "insert into journeys values ($1, $2, $3, $4, $5, 1, $6, $7, $8, $9, $10, 'm', $3, $11, '')",
            digest,
            self.model,
            customer,
            phase,
            max((to for _, to in moves), default=0),
            entered_us,
            self.source,
            channel,
            AT_US,
            last_us,
            len(moves),
        )
        came_from = 0
        for number, (seconds, to) in enumerate(moves):
            await self._connection.execute(
                "insert into transitions values ($1, $2, $3, $4, $5, $6, 1, $7, $8, $9)",
                digest,
                self.model,
                number,
                AT_US + seconds * SECOND_US,
                came_from,
                to,
                f"m{number}",
                "Product Viewed",
                "browse",
            )
            came_from = to
        for number in range(touchpoints):
            await self.touchpoint(customer, f"m{number}", AT_US + number * SECOND_US)

    async def touchpoint(self, customer: str, message_id: str, occurred_us: int, **columns: Any) -> None:
        """One fact; `columns` replaces the usual values."""
        actor = id_digest(self.workspace, customer)
        row = {
            "actor": actor,
            "message": message_digest(actor, message_id),
            "occurred_us": occurred_us,
            "received_us": occurred_us + 1,
            "source": self.source,
            "channel": "direct",
            "call": "track",
            "name": "Product Viewed",
            "message_id": message_id,
            "user_id": customer,
            "rest": json.dumps({"properties": {"color": "green"}, "context": {"locale": "de-DE"}}),
            **columns,
        }
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self._connection.execute(f"insert into touchpoints ({names}) values ({places})", *row.values())
