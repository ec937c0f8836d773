"""Funnels, flows and variants are kept, of generations from now on: older ones lack the milestones they are made of."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SUMS = {
    "funnel_counts": (
        "model bigint, unit smallint, phase smallint, day_us bigint, source bigint, channel text, way smallint, "
        "age smallint, shard integer"
    ),
    "flow_counts": (
        "model bigint, reading smallint, day_us bigint, source bigint, channel text, kind smallint, "
        "from_phase smallint, to_phase smallint, cycle smallint, shard integer"
    ),
    "variant_counts": (
        "model bigint, day_us bigint, source bigint, channel text, phases integer, outcome smallint, shard integer"
    ),
}

HOT = (
    "fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, "
    "autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 10000"
)
"""Rows that every transaction updates: room on their page, and a vacuum after a number of dead rows."""


def upgrade() -> None:
    for table in ("journeys", "checkpoints", "bases"):
        op.add_column(table, sa.Column("milestones", sa.Text, nullable=False, server_default=""))
    op.add_column("models", sa.Column("has_funnels", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("models", "has_funnels", server_default=sa.true())
    for table, columns in SUMS.items():
        definitions = ", ".join(f"{column} NOT NULL" for column in columns.split(", "))
        key = ", ".join(column.split()[0] for column in columns.split(", "))
        primary_key = f"CONSTRAINT {table}_pkey PRIMARY KEY ({key})"
        op.execute(f"CREATE TABLE {table} ({definitions}, number bigint NOT NULL, {primary_key}) WITH ({HOT})")
