"""The place of an event in its request, which breaks ties of one instant: facts, and the keys of what is derived."""

import json

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Of what is stored already nobody knows the place: ties stay broken by the message id.
COLUMNS = (
    ("touchpoints", "place"),
    ("transitions", "place"),
    ("journeys", "last_place"),
    ("checkpoints", "last_place"),
    ("bases", "last_place"),
)
KEYS = {
    "transitions": ("customer", "model", "at_us", "place", "message_id", "actor", "kind"),
    "checkpoints": ("customer", "model", "last_us", "last_place", "last_message", "last_actor"),
}


def upgrade() -> None:
    for table, column in COLUMNS:
        op.add_column(table, sa.Column(column, sa.BigInteger, nullable=False, server_default="0"))
        op.alter_column(table, column, server_default=None)
    for table, key in KEYS.items():
        op.drop_constraint(f"{table}_pkey", table)
        op.create_primary_key(f"{table}_pkey", table, list(key))
    snapshots = op.get_bind().execute(sa.text("SELECT actor, model, transitions FROM bases WHERE transitions <> '[]'"))
    placed = [{"actor": actor, "model": model, "placed": _placed(text)} for actor, model, text in snapshots]
    if placed:
        statement = "UPDATE bases SET transitions = :placed WHERE actor = :actor AND model = :model"
        op.get_bind().execute(sa.text(statement), placed)


def _placed(transitions: str) -> str:
    """Returns the transitions of a snapshot, each with a place after its instant."""
    fields = [[at_us, 0, *others] for at_us, *others in json.loads(transitions)]
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":"))
