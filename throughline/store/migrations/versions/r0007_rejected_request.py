"""Where a refused event stands in its topic, by which it is sent again, and the request it came in.

What was sent again is noted on the topic itself: the column for it was never written.
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("rejected", sa.Column("request", sa.Text, nullable=False, server_default=""))
    op.add_column("rejected", sa.Column("record", sa.Text, nullable=False, server_default=""))
    op.drop_column("rejected", "replayed_us")
