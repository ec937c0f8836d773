"""Each id names its customer, however long the chain of links that leads there; how many ids and links there are."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("ids", sa.Column("members", sa.Integer, nullable=False, server_default="1"))
    op.add_column("ids", sa.Column("links", sa.Integer, nullable=False, server_default="0"))
    op.add_column("ids", sa.Column("root", sa.LargeBinary))
    op.execute("UPDATE ids SET root = id WHERE owner IS NULL")
    parent = "SELECT owners.root FROM ids AS owners WHERE owners.workspace = ids.workspace AND owners.id = ids.owner"
    level = sa.text(f"UPDATE ids SET root = ({parent}) WHERE root IS NULL AND ({parent}) IS NOT NULL")
    while op.get_bind().execute(level).rowcount:
        pass
    op.create_index("ids_by_root", "ids", ["root"])
    members = "SELECT count(*) FROM ids AS members WHERE members.root = ids.id"
    op.execute(f"UPDATE ids SET members = ({members}) WHERE root = id")
    links = "SELECT count(*) FROM links WHERE links.id = ids.id"
    op.execute(f"UPDATE ids SET links = ({links}) WHERE linked")
    op.alter_column("ids", "root", nullable=False)
    op.alter_column("ids", "members", server_default=None)
    op.alter_column("ids", "links", server_default=None)
    op.drop_index("ids_by_owner", "ids")
    op.drop_column("ids", "joined")
    op.drop_column("ids", "linked")
