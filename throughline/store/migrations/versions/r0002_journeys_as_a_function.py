"""Journeys as a function of the facts: identity, lapses, checkpoints, model generations, history.

What was derived by the rules before this revision is dropped, and built anew from the facts: every model gets the
`restage_slots` by which the stagers do so once they run.
"""

import sqlalchemy as sa
from alembic import op

from throughline.journey.identity import Link, links_of, owners_of
from throughline.store.digest import id_digest

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

PARTITIONS = 8
COUNTS = ("active", "lapsed", "churned", "entered", "left", "returned")
HOT = {
    "fillfactor": "50",
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "10000",
}


def upgrade() -> None:
    _workspaces()
    _facts()
    _identity()
    for table in ("journeys", "transitions", "phase_counts"):
        op.drop_table(table)
    _journeys()
    _counts()
    _rebuild()


def _workspaces() -> None:
    op.add_column("workspaces", sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    op.add_column(
        "workspaces", sa.Column("default_model", sa.Text, nullable=False, server_default=sa.text("'seven_phase'"))
    )
    op.add_column("workspaces", sa.Column("retention_days", sa.Integer))
    op.add_column("workspaces", sa.Column("horizon_us", sa.BigInteger))
    op.drop_constraint("models_workspace_name_key", "models")
    op.add_column("models", sa.Column("state", sa.Text, nullable=False, server_default=sa.text("'live'")))
    op.add_column("models", sa.Column("document", sa.Text))
    for state in ("live", "building"):
        where = sa.text(f"state = '{state}'")
        op.create_index(f"models_{state}", "models", ["workspace", "name"], unique=True, postgresql_where=where)
    op.create_table(
        "restage_slots",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("cursor", sa.LargeBinary, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("customers", sa.BigInteger, nullable=False),
        sa.Column("touchpoints", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "slot"),
    )


def _facts() -> None:
    op.add_column("touchpoints", sa.Column("bot", sa.Boolean, nullable=False, server_default=sa.text("false")))
    op.alter_column("touchpoints", "bot", server_default=None)
    op.create_index("touchpoints_by_time", "touchpoints", ["actor", "occurred_us"])


def _identity() -> None:
    op.create_table(
        "ids",
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("is_user", sa.Boolean, nullable=False),
        sa.Column("joined", sa.Boolean, nullable=False),
        sa.Column("linked", sa.Boolean, nullable=False),
        sa.Column("owner", sa.LargeBinary),
        sa.Column("link_us", sa.BigInteger),
        sa.Column("link_message", sa.Text),
        sa.Column("link_by", sa.SmallInteger),
        sa.PrimaryKeyConstraint("workspace", "id"),
        postgresql_partition_by="HASH (id)",
    )
    _partition("ids", " WITH (fillfactor = 70)")
    op.create_index("ids_by_owner", "ids", ["owner"], postgresql_where=sa.text("owner IS NOT NULL"))
    op.create_table(
        "links",
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("by", sa.SmallInteger, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("id", "owner", "by"),
        postgresql_partition_by="HASH (id)",
    )
    _partition("links")
    op.create_table(
        "rulings",
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("owner", sa.LargeBinary, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.Column("void", sa.Boolean, nullable=False),
        sa.PrimaryKeyConstraint("id", "owner"),
        postgresql_partition_by="HASH (id)",
    )
    _partition("rulings")


def _state() -> list[sa.Column[object]]:
    return [
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("highest_phase", sa.SmallInteger, nullable=False),
        sa.Column("cycle", sa.Integer, nullable=False),
        sa.Column("lapsed_us", sa.BigInteger, nullable=False),
        sa.Column("entered_us", sa.BigInteger, nullable=False),
        sa.Column("active_us", sa.BigInteger, nullable=False),
        sa.Column("flags", sa.SmallInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("last_message", sa.Text(collation="C"), nullable=False),
        sa.Column("last_actor", sa.Text(collation="C"), nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
    ]


def _journeys() -> None:
    op.create_table(
        "journeys",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        *_state(),
        sa.Column("look_us", sa.BigInteger, nullable=False),
        sa.Column("since", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model"),
        postgresql_partition_by="HASH (customer)",
    )
    _partition("journeys", " WITH (fillfactor = 70)")
    op.create_index("journeys_by_phase", "journeys", ["model", "phase", "customer"])
    op.create_index("journeys_by_look", "journeys", ["look_us", "customer"])
    op.create_table(
        "checkpoints",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        *_state(),
        sa.PrimaryKeyConstraint("customer", "model", "last_us", "last_message", "last_actor"),
        postgresql_partition_by="HASH (customer)",
    )
    _partition("checkpoints")
    op.create_table(
        "transitions",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("message_id", sa.Text(collation="C"), nullable=False),
        sa.Column("actor", sa.Text(collation="C"), nullable=False),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("from_phase", sa.SmallInteger, nullable=False),
        sa.Column("to_phase", sa.SmallInteger, nullable=False),
        sa.Column("cycle", sa.Integer, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model", "at_us", "message_id", "actor", "kind"),
        postgresql_partition_by="HASH (customer)",
    )
    _partition("transitions")


def _counts() -> None:
    op.create_table(
        "phase_counts",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("model", "shard", "source", "channel", "phase"),
        postgresql_with=HOT,
    )
    op.create_table(
        "phase_history",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("step", sa.SmallInteger, nullable=False),
        sa.Column("bucket_us", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in COUNTS),
        sa.PrimaryKeyConstraint("model", "step", "bucket_us", "shard", "source", "channel", "phase"),
        postgresql_with=HOT,
    )
    op.create_table(
        "unmapped",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "shard", "source", "name"),
    )
    op.add_column("offsets", sa.Column("swept_us", sa.BigInteger, nullable=False, server_default=sa.text("0")))
    # No default is left, so that a stager of the first version fails at its first statement, and moves no position.
    op.alter_column("offsets", "swept_us", server_default=None)


def _rebuild() -> None:
    """What is derived of the facts that are there: ids and links here, journeys by the stagers, slot by slot."""
    people: dict[int, _People] = {}
    facts = op.get_bind().execute(sa.text(FACTS).execution_options(yield_per=10_000))
    for workspace, call, occurred_us, message_id, user, anonymous, previous in facts:
        workspace_ids = people.setdefault(workspace, _People())
        workspace_ids.names.update(name for name in (user, anonymous, previous) if name)
        if user:
            workspace_ids.users.add(user)
        for link in links_of(call, occurred_us, 0, message_id, user or "", anonymous or "", previous or ""):
            pair = (link.id, link.owner, link.by)
            workspace_ids.links[pair] = min(link, workspace_ids.links.get(pair, link))
    for workspace, workspace_ids in people.items():
        _write_people(workspace, workspace_ids)
    op.execute(
        """
        INSERT INTO restage_slots
        SELECT models.id, slot, ''::bytea, false, 0, 0 FROM models, generate_series(0, 15) AS slot
        WHERE EXISTS (SELECT FROM touchpoints)
        ON CONFLICT DO NOTHING
        """
    )


FACTS = """
SELECT workspace, call, occurred_us, message_id, user_id, anonymous_id, previous_id
FROM touchpoints JOIN sources ON sources.id = source
"""


class _People:
    def __init__(self) -> None:
        self.names: set[str] = set()
        self.users: set[str] = set()
        self.links: dict[tuple[str, str, int], Link] = {}


def _write_people(workspace: int, workspace_ids: _People) -> None:
    owners = owners_of(workspace_ids.links.values(), workspace_ids.users, frozenset())
    joined = {link.owner for link in owners.values()}
    linked = {link.id for link in workspace_ids.links.values()}
    rows = []
    for name in sorted(workspace_ids.names):
        link = owners.get(name)
        rows.append(
            {
                "workspace": workspace,
                "id": id_digest(workspace, name),
                "name": name,
                "is_user": name in workspace_ids.users,
                "joined": name in joined,
                "linked": name in linked,
                "owner": None if link is None else id_digest(workspace, link.owner),
                "link_us": None if link is None else link.occurred_us,
                "link_message": None if link is None else link.message_id,
                "link_by": None if link is None else link.by,
            }
        )
    _insert("ids", rows)
    _insert(
        "links",
        [
            {
                "id": id_digest(workspace, link.id),
                "owner": id_digest(workspace, link.owner),
                "by": link.by,
                "occurred_us": link.occurred_us,
                "message_id": link.message_id,
            }
            for link in workspace_ids.links.values()
        ],
    )


def _insert(table: str, rows: list[dict[str, object]]) -> None:
    if rows:
        columns: list[sa.ColumnClause[object]] = [sa.column(name) for name in rows[0]]
        op.bulk_insert(sa.table(table, *columns), rows)


def _partition(table: str, storage: str = "") -> None:
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE {table}_p{remainder} PARTITION OF {table} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder}){storage}"
        )
