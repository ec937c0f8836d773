"""Refunds in another currency than that of their order are counted, beside those of no order."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "orphan_refunds", sa.Column("foreign_currency", sa.BigInteger, nullable=False, server_default=sa.text("0"))
    )
