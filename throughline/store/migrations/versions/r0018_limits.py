"""The channels and event names that sums are kept by, so many; ids that have as many links as they may."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "admitted_names",
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text(collation="C"), nullable=False),
        sa.PrimaryKeyConstraint("kind", "model", "source", "name"),
    )
    op.create_table(
        "admissions",
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("names", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("kind", "model", "source"),
    )
    op.create_table(
        "identity_suspects",
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("id", sa.LargeBinary, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("refused", sa.BigInteger, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("workspace", "id"),
    )
    # What has a row already keeps it, so that it can be taken back there. A restage admits names anew.
    op.execute(
        "INSERT INTO admitted_names SELECT DISTINCT 1, model, 0, channel FROM phase_counts WHERE channel NOT IN ("
        "'affiliate', 'ai_assistant', 'audio', 'campaign', 'direct', 'display', 'email', 'organic_search', "
        "'paid_other', 'paid_search', 'paid_social', 'paid_video', 'push', 'referral', 'sms', "
        "'social', 'video', '(other)'"
        ") ON CONFLICT DO NOTHING"
    )
    op.execute(
        "INSERT INTO admitted_names SELECT DISTINCT 2, model, source, name FROM unmapped WHERE name <> '(other)' "
        "ON CONFLICT DO NOTHING"
    )
    op.execute(
        "INSERT INTO admissions SELECT kind, model, source, count(*) FROM admitted_names GROUP BY 1, 2, 3 "
        "ON CONFLICT DO NOTHING"
    )
