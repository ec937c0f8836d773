"""The place of a link's event in its request, which breaks ties of one instant as it does among facts."""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of what is stored already nobody knows the place: ties stay broken by the message id.
    op.add_column("links", sa.Column("place", sa.BigInteger, nullable=False, server_default="0"))
    op.alter_column("links", "place", server_default=None)
    op.add_column("ids", sa.Column("link_place", sa.BigInteger))
    op.execute("UPDATE ids SET link_place = 0 WHERE owner IS NOT NULL")
