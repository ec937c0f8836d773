"""Tokens have a scope, an expiry, a maker and a last use; pages open by one-time codes; administration is logged."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("read_tokens", sa.Column("scope", sa.Text, nullable=False, server_default=sa.text("'read'")))
    op.add_column("read_tokens", sa.Column("created_by", sa.Text))
    op.add_column("read_tokens", sa.Column("expires_us", sa.BigInteger))
    op.add_column("read_tokens", sa.Column("last_used_us", sa.BigInteger))
    op.add_column("read_tokens", sa.Column("session_of", sa.BigInteger))
    op.create_index(
        "read_tokens_sessions", "read_tokens", ["session_of"], postgresql_where=sa.text("session_of IS NOT NULL")
    )
    op.create_table(
        "page_codes",
        sa.Column("digest", sa.LargeBinary, primary_key=True),
        sa.Column("token", sa.BigInteger, nullable=False),
        sa.Column("expires_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "audit_log",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("who", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("arguments", JSONB, nullable=False),
    )
