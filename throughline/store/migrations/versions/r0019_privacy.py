"""Fields that a source leaves out, hashes or strips; small cells and hosts that open no visit of a workspace."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("drop_fields", "hash_fields", "strip_queries"):
        op.add_column("sources", sa.Column(name, ARRAY(sa.Text)))
    op.add_column("workspaces", sa.Column("no_visit_hosts", ARRAY(sa.Text)))
    op.add_column("workspaces", sa.Column("hash_key", sa.LargeBinary))
    op.add_column("workspaces", sa.Column("min_cell", sa.Integer))
