"""What an order costs in all, its lines, whether it is a test order; refunds of no order; a source's order ids."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("touchpoints", sa.Column("total", sa.Double))
    op.add_column("touchpoints", sa.Column("items", sa.Text))
    op.add_column("touchpoints", sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("touchpoints", "test", server_default=None)
    op.create_table(
        "orphan_refunds",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "shard", "source"),
    )
    op.add_column("sources", sa.Column("order_scope", sa.Text))
