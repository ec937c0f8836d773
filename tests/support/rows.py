"""Rows as the stager writes them, inserted by hand for tests of the api."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from types import TracebackType
from typing import Any

import asyncpg

from throughline.journey.diff import COUNTS
from throughline.journey.durations import MINUTE_US
from throughline.journey.flows import FlowCell, VariantCell
from throughline.journey.funnel import FunnelCell
from throughline.journey.memory import CHURNED
from throughline.journey.rollup import STEPS, bucket_of
from throughline.journey.state import ENTER, LAPSE, RETURN, Transition
from throughline.store.digest import id_digest, message_digest

AT_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z
SECOND_US = 1_000_000
PHASES = ("discovery", "consideration", "decision", "purchase", "experience", "loyalty", "advocacy")

ABANDON, CHURN = -1, -2
"""In place of a phase in `Rows.customer`: the customer lapses."""


@dataclass
class Rows:
    """Writes to one workspace of one database, under its first model unless `model` is set."""

    url: str
    workspace: int
    topic: str = "touchpoints"
    model: int = 0
    source: int = 0
    zone: tzinfo = UTC
    numbers: int = 0
    _roots: dict[str, str] = field(default_factory=dict)

    async def __aenter__(self) -> "Rows":
        self._connection = await asyncpg.connect(self.url)
        self.model = await self._connection.fetchval(
            "select id from models where workspace = $1 and state = 'live' order by id limit 1", self.workspace
        )
        self.source = await self._connection.fetchval(
            "select id from sources where workspace = $1 order by id limit 1", self.workspace
        )
        return self

    async def __aexit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    async def execute(self, statement: str, *values: Any) -> None:
        """Execute any other statement."""
        await self._connection.execute(statement, *values)

    async def fetch(self, query: str, *values: Any) -> list[Any]:
        """The rows of a query."""
        rows: list[Any] = await self._connection.fetch(query, *values)
        return rows

    async def through(self, at_us: int, *, partition: int = 0, topic: str | None = None) -> None:
        """Move the watermark of a partition to `at_us`."""
        await self._connection.execute(
            "insert into offsets values ($1, $2, 1, '', $3, $3) on conflict (topic, partition) "
            "do update set through_us = excluded.through_us, swept_us = excluded.swept_us",
            topic or self.topic,
            partition,
            at_us,
        )

    async def live(self, name: str, *, state: str = "live", document: str | None = None) -> int:
        """Insert another generation. Returns its id."""
        return int(
            await self._connection.fetchval(
                "insert into models (workspace, name, state, document, created_us) values ($1, $2, $3, $4, $5) "
                "returning id",
                self.workspace,
                name,
                state,
                document,
                AT_US,
            )
        )

    async def count(
        self,
        phase: int,
        active: int = 0,
        *,
        lapsed: int = 0,
        churned: int = 0,
        left: int = 0,
        entered: int | None = None,
        returned: int = 0,
        shard: int = 0,
        source: int | None = None,
        channel: str = "direct",
        at_us: int = AT_US,
    ) -> None:
        """Add to one row of the counts and of their history. By default `entered` agrees with the other numbers."""
        entered = active + lapsed + left if entered is None else entered
        values = (active, lapsed, churned, entered, left, returned)
        sums = ", ".join(f'"{name}" = c."{name}" + excluded."{name}"' for name in COUNTS)
        cell = (shard, source or self.source, channel, phase)
        async with self._connection.transaction():
            await self._connection.execute(
                f"insert into phase_counts as c values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) "
                f"on conflict (model, shard, source, channel, phase) do update set {sums}",
                self.model,
                *cell,
                *values,
            )
            for number, step in enumerate(STEPS):
                await self._connection.execute(
                    f"insert into phase_history as c values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) "
                    f"on conflict (model, step, bucket_us, shard, source, channel, phase) do update set {sums}",
                    self.model,
                    number,
                    bucket_of(step, at_us - at_us % MINUTE_US, self.zone),
                    *cell,
                    *values,
                )

    async def customer(
        self,
        customer: str,
        moves: list[tuple[int, int]],
        *,
        touchpoints: int = 0,
        channel: str = "direct",
        last_us: int | None = None,
        memory: str = "",
    ) -> None:
        """Insert a customer whose transitions are `moves`: (seconds after AT_US, phase or ABANDON or CHURN)."""
        transitions, phase, lapsed_us, cycle, flags = self._transitions(customer, moves)
        entered = [transition for transition in transitions if transition.kind != LAPSE]
        entered_us = entered[-1].at_us if entered else AT_US
        if last_us is None:
            last_us = max(entered_us, AT_US + max(touchpoints - 1, 0) * SECOND_US)
        digest = id_digest(self.workspace, customer)
        await self._insert(
            "journeys",
            customer=digest,
            model=self.model,
            id=customer,
            phase=phase,
            highest_phase=max((transition.to_phase for transition in entered), default=0),
            cycle=cycle,
            lapsed_us=lapsed_us,
            entered_us=entered_us,
            active_us=last_us,
            flags=flags,
            source=self.source,
            channel=channel,
            first_us=AT_US,
            last_us=last_us,
            last_place=0,
            last_message="m",
            last_actor=customer,
            memory=memory,
            look_us=0,
            since=0,
        )
        for transition in transitions:
            await self._insert("transitions", customer=digest, model=self.model, **transition._asdict())
        for number in range(touchpoints):
            await self.touchpoint(customer, f"m{number}", AT_US + number * SECOND_US)

    def _transitions(self, customer: str, moves: list[tuple[int, int]]) -> tuple[list[Transition], int, int, int, int]:
        transitions: list[Transition] = []
        phase, lapsed_us, cycle, flags = 0, 0, 1, 0
        for number, (seconds, to) in enumerate(moves):
            at_us = AT_US + seconds * SECOND_US
            if to < 0:
                lapsed_us, flags = at_us, CHURNED if to == CHURN else 0
                rule = "churned" if to == CHURN else "abandoned"
                transitions.append(Transition(at_us, 0, "", "", LAPSE, phase, phase, cycle, "", rule))
                continue
            kind = RETURN if lapsed_us else ENTER
            cycle += kind == RETURN
            cause = (f"m{number}", customer)
            transitions.append(Transition(at_us, 0, *cause, kind, phase, to, cycle, "Product Viewed", "product_viewed"))
            phase, lapsed_us, flags = to, 0, 0
        return transitions, phase, lapsed_us, cycle, flags

    async def link(self, id: str, owner: str | None, *, at_us: int = AT_US, by: int = 1, message_id: str = "l") -> None:
        """Insert an id that belongs to `owner`, which is inserted before it; None: the id is a customer itself."""
        self._roots[id] = id if owner is None else self._roots.get(owner, owner)
        await self._insert(
            "ids",
            workspace=self.workspace,
            id=id_digest(self.workspace, id),
            name=id,
            is_user=owner is None,
            members=1,
            links=int(owner is not None),
            owner=None if owner is None else id_digest(self.workspace, owner),
            link_us=None if owner is None else at_us,
            link_place=None if owner is None else 0,
            link_message=None if owner is None else message_id,
            link_by=None if owner is None else by,
            root=id_digest(self.workspace, self._roots[id]),
        )

    async def mark(self, customer: str) -> None:
        """Insert a mark: the customer's journey is recomputed aside."""
        await self._insert(
            "recomputations",
            customer=id_digest(self.workspace, customer),
            model=self.model,
            workspace=self.workspace,
            marked_us=AT_US,
            turn_us=AT_US,
            changed_us=AT_US,
            phase=0,
            from_us=AT_US,
            cursor_us=0,
            cursor_place=0,
            cursor_message="",
            cursor_actor="",
            milestones="",
        )

    async def touchpoint(self, customer: str, message_id: str, occurred_us: int, **columns: Any) -> None:
        """Insert a touchpoint; `columns` replaces default values."""
        actor = id_digest(self.workspace, customer)
        row = {
            "actor": actor,
            "message": message_digest(message_id),
            "occurred_us": occurred_us,
            "place": 0,
            "received_us": occurred_us + 1,
            "source": self.source,
            "channel": "direct",
            "call": "track",
            "name": "Product Viewed",
            "message_id": message_id,
            "user_id": customer,
            "rest": json.dumps({"properties": {"color": "green"}, "context": {"locale": "de-DE"}}),
            "bot": False,
            "test": False,
            **columns,
        }
        await self._insert("touchpoints", **row)

    async def unmapped(
        self, name: str, events: int, *, shard: int = 0, source: int | None = None, first_us: int = AT_US
    ) -> None:
        """Insert events of an unmapped name."""
        await self._insert(
            "unmapped",
            model=self.model,
            shard=shard,
            source=source or self.source,
            name=name,
            events=events,
            first_us=first_us,
            last_us=first_us + SECOND_US,
        )

    async def refunds(self, orphans: int, foreign: int = 0, *, shard: int = 0, source: int | None = None) -> None:
        """Insert a count of refunds of no order, and of those in another currency than that of their order."""
        await self._insert(
            "orphan_refunds",
            model=self.model,
            shard=shard,
            source=source or self.source,
            events=orphans,
            foreign_currency=foreign,
        )

    async def sums(self, table: str, deltas: Mapping[Any, int], *, shard: int) -> None:
        """Insert sums of analytics, whose keys are the columns up to `shard` in the order of their cells."""
        fields = {
            "funnel_counts": FunnelCell._fields,
            "flow_counts": FlowCell._fields,
            "variant_counts": VariantCell._fields,
        }
        for key, number in deltas.items():
            row = dict(zip(fields[table], key, strict=True))
            await self._connection.execute(
                f"insert into {table} ({', '.join(row)}, shard, number) "
                f"values ({', '.join(f'${place}' for place in range(1, len(row) + 3))}) "
                f"on conflict on constraint {table}_pkey do update set number = {table}.number + excluded.number",
                *row.values(),
                shard,
                number,
            )

    async def recent(self, message_id: str, received_us: int, **columns: Any) -> None:
        """Insert one of the recent events; `columns` replaces default values."""
        self.numbers += 1
        row = {
            "source": self.source,
            "shard": 0,
            "slot": self.numbers,
            "number": self.numbers,
            "workspace": self.workspace,
            "received_us": received_us,
            "occurred_us": received_us - SECOND_US,
            "actor": "user-1",
            "message_id": message_id,
            "call": "track",
            "name": "Product Viewed",
            "channel": "direct",
            "bot": False,
            "warnings": "",
            **columns,
        }
        await self._insert("recent_events", **row)

    async def refused(self, message_id: str, received_us: int, **columns: Any) -> None:
        """Insert a rejected event with its payload; `columns` replaces default values."""
        row = {
            "workspace": self.workspace,
            "source": self.source,
            "received_us": received_us,
            "stage": "ingest",
            "code": "missing_field",
            "field": "event",
            "message": "a track call has to name its event",
            "name": "",
            "message_id": message_id,
            "payload": b'{"type":"track"}',
            "origin": "",
            **columns,
        }
        await self._insert("rejected", **row)

    async def _insert(self, table: str, **row: Any) -> None:
        names = ", ".join(f'"{name}"' for name in row)
        places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
        await self._connection.execute(f"insert into {table} ({names}) values ({places})", *row.values())
