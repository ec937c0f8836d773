"""The refused events of one source, newest first, without a look at those of the others."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute("DROP INDEX CONCURRENTLY IF EXISTS rejected_by_source")
        op.execute("CREATE INDEX CONCURRENTLY rejected_by_source ON rejected (workspace, source, received_us, id)")
