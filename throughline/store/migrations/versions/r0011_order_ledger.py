"""What an order costs in all, its lines, and whether it is a test order."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("touchpoints", sa.Column("total", sa.Double))
    op.add_column("touchpoints", sa.Column("items", sa.Text))
    op.add_column("touchpoints", sa.Column("test", sa.Boolean, nullable=False, server_default=sa.false()))
    op.alter_column("touchpoints", "test", server_default=None)
