"""What was done before each move, and what brought its cycle: what customers leave after is read from it."""

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("models", sa.Column("has_trails", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("models", "has_trails", server_default=sa.true())
    for table in ("journeys", "checkpoints", "bases"):
        op.add_column(table, sa.Column("trail", sa.Text, nullable=False, server_default=""))
    for name in ("since_us", "active_us"):
        op.add_column("transitions", sa.Column(name, sa.BigInteger, nullable=False, server_default="0"))
    for name in ("device", "campaign", "kinds"):
        op.add_column("transitions", sa.Column(name, sa.Text, nullable=False, server_default=""))
