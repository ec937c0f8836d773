"""The rings of recent events know how many there were; nothing has written to them before."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recent_events", sa.Column("number", sa.BigInteger, nullable=False))
