"""Ids are found by how they begin, in any case."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ids_by_key", "ids", ["workspace", sa.text('lower(name COLLATE "C")')])
