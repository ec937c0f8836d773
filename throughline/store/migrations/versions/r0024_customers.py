"""What customers are listed by: the day they were last seen, their orders, when they entered their phase."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

ORDERS = r"""
CASE
    WHEN starts_with(memory, '{"standing":'::text)
    THEN split_part(split_part(substr(memory, 13, 12), ','::text, 1), '}'::text, 1)::integer
    WHEN starts_with(memory, '{"o'::text) OR starts_with(memory, '{"f'::text)
    THEN coalesce(substring(memory, '^\{(?:"[of][a-z]+":\{[^}]*\},)*"standing":(\d+)'::text)::integer, 0)
    ELSE 0
END
"""


def upgrade() -> None:
    # One rewrite of the table for both.
    op.execute(
        "ALTER TABLE journeys ADD COLUMN last_day integer GENERATED ALWAYS AS (last_us / 86400000000) STORED, "
        f"ADD COLUMN orders integer GENERATED ALWAYS AS ({ORDERS}) STORED"
    )
    op.drop_index("journeys_by_phase", "journeys")
    op.create_index("journeys_by_phase", "journeys", ["model", "phase", "entered_us", "customer"])
    op.create_index("journeys_by_day", "journeys", ["model", "last_day", "customer"])
    op.create_index("journeys_by_orders", "journeys", ["model", "orders"], postgresql_where=sa.text("orders > 0"))
