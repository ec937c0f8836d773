"""A message id's digest is the same for every actor, and comes first in the key of facts.

So which ids of a customer sent a message id is one walk of the index. Rewrites every fact.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE touchpoints DROP CONSTRAINT touchpoints_pkey")
    op.execute("UPDATE touchpoints SET message = substr(sha256(convert_to(message_id, 'UTF8')), 1, 16)")
    op.execute("ALTER TABLE touchpoints ADD PRIMARY KEY (message, actor)")
