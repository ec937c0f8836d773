"""A source may have email addresses that are ids put into lower case."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("sources", sa.Column("fold_case", sa.Boolean, nullable=False, server_default=sa.false()))
