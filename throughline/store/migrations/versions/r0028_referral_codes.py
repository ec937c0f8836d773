"""The facts that name a referral code have an index of their own."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("CREATE INDEX touchpoints_with_code ON touchpoints (actor) WHERE attribution LIKE '%\"referral_code\"%'")
