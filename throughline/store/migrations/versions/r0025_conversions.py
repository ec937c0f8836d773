"""The live orders of each customer, which channels are credited with."""

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

PARTITIONS = 8


def upgrade() -> None:
    op.add_column("models", sa.Column("has_conversions", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("models", "has_conversions", server_default=sa.true())
    op.create_table(
        "conversions",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("order", sa.Text(collation="C"), nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("gross", sa.BigInteger, nullable=False),
        sa.Column("net", sa.BigInteger, nullable=False),
        sa.Column("currency", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model", "order"),
        postgresql_partition_by="HASH (customer)",
    )
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE conversions_p{remainder} PARTITION OF conversions "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder})"
        )
    op.create_index("conversions_by_time", "conversions", ["model", "at_us", "customer"])
