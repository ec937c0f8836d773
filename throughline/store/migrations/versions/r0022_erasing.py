"""What an erasure looks up: links by their owner, and facts that name an id without a link."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("links_by_owner", "links", ["owner"])
    op.create_index(
        "touchpoints_unlinked",
        "touchpoints",
        ["anonymous_id"],
        postgresql_where=sa.text("(bot OR test) AND user_id IS NOT NULL"),
    )
