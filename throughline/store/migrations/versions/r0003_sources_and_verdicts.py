"""What each source allows, how long a rotated key lasts, where touchpoints came from, and what was refused."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

HOT = {
    "fillfactor": "50",
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "10000",
}


def upgrade() -> None:
    _sources()
    op.add_column("touchpoints", sa.Column("attribution", sa.Text))
    _recent_events()
    _rejected()


def _sources() -> None:
    op.add_column("sources", sa.Column("app_id", sa.Text, unique=True))
    op.add_column("sources", sa.Column("origins", ARRAY(sa.Text)))
    op.add_column("sources", sa.Column("consent", sa.Text, nullable=False, server_default=sa.text("'off'")))
    op.add_column("sources", sa.Column("ip", sa.Text, nullable=False, server_default=sa.text("'shorten'")))
    op.add_column("sources", sa.Column("rate_events", sa.Integer))
    op.add_column("sources", sa.Column("rate_burst", sa.Integer))
    op.add_column("sources", sa.Column("webhook_secret", sa.Text))
    op.add_column("write_keys", sa.Column("expires_us", sa.BigInteger))


def _recent_events() -> None:
    op.create_table(
        "recent_events",
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("slot", sa.SmallInteger, nullable=False),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("actor", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("bot", sa.Boolean, nullable=False),
        sa.Column("warnings", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("source", "shard", "slot"),
        postgresql_with=HOT,
    )


def _rejected() -> None:
    op.create_table(
        "rejected",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("field", sa.Text, nullable=False),
        sa.Column("message", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("origin", sa.Text, nullable=False),
        sa.Column("replayed_us", sa.BigInteger),
    )
    op.create_index("rejected_by_time", "rejected", ["workspace", "received_us", "id"])
    op.create_table(
        "rejected_counts",
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("bucket_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("stage", sa.Text, nullable=False),
        sa.Column("code", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("events", sa.BigInteger, nullable=False),
        sa.Column("kept", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "bucket_us", "source", "stage", "code", "name", "shard"),
        postgresql_with=HOT,
    )
