"""Erasures, suppressed ids, and requests of people for a copy of their data."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("once", sa.Boolean, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.Column("subjects", sa.LargeBinary, nullable=False),
        sa.Column("digests", sa.LargeBinary, nullable=False),
        sa.Column("cursor", sa.BigInteger, nullable=False),
        sa.Column("touchpoints", sa.BigInteger, nullable=False),
        sa.Column("clear_us", sa.BigInteger),
        sa.Column("done_us", sa.BigInteger),
        sa.Column("proof", sa.Text, nullable=False, server_default="{}"),
        sa.UniqueConstraint("workspace", "name"),
    )
    op.create_index("erasures_open", "erasures", ["shard", "id"], postgresql_where=sa.text("state <> 'done'"))
    op.create_table(
        "suppressions",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("until_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("digest", "until_us"),
    )
    op.create_table(
        "data_requests",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("requested_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("workspace", "name", "digest"),
    )
    op.create_index("data_requests_by_digest", "data_requests", ["digest"])
    op.add_column("workspaces", sa.Column("suppressed", sa.BigInteger, nullable=False, server_default="0"))
