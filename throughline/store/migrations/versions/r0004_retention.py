"""Snapshots of facts before a workspace's retention cutoff, and how far these facts are deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

PARTITIONS = 8


def upgrade() -> None:
    op.create_table(
        "bases",
        sa.Column("actor", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
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
        sa.Column("transitions", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("actor", "model"),
        postgresql_partition_by="HASH (actor)",
    )
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE bases_p{remainder} PARTITION OF bases "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder})"
        )
    op.create_table(
        "horizon_slots",
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("cursor", sa.LargeBinary, nullable=False),
        sa.Column("done", sa.Boolean, nullable=False),
        sa.Column("touchpoints", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "slot"),
    )
