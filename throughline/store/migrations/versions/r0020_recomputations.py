"""Journeys that are recomputed aside, and which ids have one."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

PARTITIONS = 8


def upgrade() -> None:
    op.add_column("ids", sa.Column("marked", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "recomputations",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("marked_us", sa.BigInteger, nullable=False),
        sa.Column("turn_us", sa.BigInteger, nullable=False),
        sa.Column("changed_us", sa.BigInteger, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("from_us", sa.BigInteger, nullable=False),
        sa.Column("cursor_us", sa.BigInteger, nullable=False),
        sa.Column("cursor_place", sa.BigInteger, nullable=False),
        sa.Column("cursor_message", sa.Text(collation="C"), nullable=False),
        sa.Column("cursor_actor", sa.Text(collation="C"), nullable=False),
        sa.Column("milestones", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model"),
        postgresql_partition_by="HASH (customer)",
    )
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE recomputations_p{remainder} PARTITION OF recomputations "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder})"
        )
