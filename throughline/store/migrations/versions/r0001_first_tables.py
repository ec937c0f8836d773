"""The first tables: who may write and read, facts, journeys, counts and offsets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

PARTITIONS = 8

# Small tables that every transaction updates: cleaned by the number of dead rows, not by a share, and without pauses.
HOT = {
    "fillfactor": "50",
    "autovacuum_vacuum_scale_factor": "0",
    "autovacuum_vacuum_threshold": "1000",
    "autovacuum_vacuum_cost_delay": "0",
    "autovacuum_analyze_scale_factor": "0",
    "autovacuum_analyze_threshold": "10000",
}


def upgrade() -> None:
    _access()
    _facts()
    _journeys()
    _counts()


def _access() -> None:
    op.create_table(
        "workspaces",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("name", sa.Text, nullable=False, unique=True),
        sa.Column("time_zone", sa.Text, nullable=False, server_default=sa.text("'UTC'")),
        sa.Column("created_us", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "sources",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("enabled", sa.Boolean, nullable=False, server_default=sa.text("true")),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("workspace", "name"),
    )
    op.create_table(
        "write_keys",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
    )
    op.create_table(
        "read_tokens",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True),
        sa.Column("hint", sa.Text, nullable=False),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.Column("revoked_us", sa.BigInteger),
    )
    op.create_table(
        "models",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("workspace", sa.BigInteger, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("created_us", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("workspace", "name"),
    )


def _facts() -> None:
    op.create_table(
        "touchpoints",
        sa.Column("actor", sa.LargeBinary, nullable=False),
        sa.Column("message", sa.LargeBinary, nullable=False),
        sa.Column("occurred_us", sa.BigInteger, nullable=False),
        sa.Column("received_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text),
        sa.Column("anonymous_id", sa.Text),
        sa.Column("previous_id", sa.Text),
        sa.Column("order_id", sa.Text),
        sa.Column("value", sa.Double),
        sa.Column("currency", sa.Text),
        sa.Column("rating", sa.Double),
        sa.Column("score", sa.Double),
        sa.Column("product_id", sa.Text),
        sa.Column("quantity", sa.Double),
        sa.Column("rest", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("actor", "message"),
        postgresql_partition_by="HASH (actor)",
    )
    _partition("touchpoints")


def _journeys() -> None:
    op.create_table(
        "journeys",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("id", sa.Text, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("highest_phase", sa.SmallInteger, nullable=False),
        sa.Column("cycle", sa.Integer, nullable=False),
        sa.Column("entered_us", sa.BigInteger, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("first_us", sa.BigInteger, nullable=False),
        sa.Column("last_us", sa.BigInteger, nullable=False),
        sa.Column("last_message", sa.Text, nullable=False),
        sa.Column("last_actor", sa.Text, nullable=False),
        sa.Column("transitions", sa.Integer, nullable=False),
        sa.Column("memory", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model"),
        postgresql_partition_by="HASH (customer)",
    )
    _partition("journeys", " WITH (fillfactor = 70)")  # storage settings belong to the leaves, the parent holds no rows
    op.create_index("journeys_by_phase", "journeys", ["model", "phase", "customer"])
    op.create_table(
        "transitions",
        sa.Column("customer", sa.LargeBinary, nullable=False),
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("at_us", sa.BigInteger, nullable=False),
        sa.Column("from_phase", sa.SmallInteger, nullable=False),
        sa.Column("to_phase", sa.SmallInteger, nullable=False),
        sa.Column("cycle", sa.Integer, nullable=False),
        sa.Column("message_id", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("customer", "model", "number"),
        postgresql_partition_by="HASH (customer)",
    )
    _partition("transitions")


def _counts() -> None:
    op.create_table(
        "phase_counts",
        sa.Column("model", sa.BigInteger, nullable=False),
        sa.Column("shard", sa.Integer, nullable=False),
        sa.Column("source", sa.BigInteger, nullable=False),
        sa.Column("channel", sa.Text, nullable=False),
        sa.Column("phase", sa.SmallInteger, nullable=False),
        sa.Column("active", sa.BigInteger, nullable=False),
        sa.Column("lapsed", sa.BigInteger, nullable=False),
        sa.Column("entered", sa.BigInteger, nullable=False),
        sa.Column("left", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("model", "shard", "source", "channel", "phase"),
        postgresql_with=HOT,
    )
    op.create_table(
        "offsets",
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("digest", sa.LargeBinary, nullable=False),
        sa.Column("through_us", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("topic", "partition"),
        postgresql_with=HOT,
    )


def _partition(table: str, storage: str = "") -> None:
    for remainder in range(PARTITIONS):
        op.execute(
            f"CREATE TABLE {table}_p{remainder} PARTITION OF {table} "
            f"FOR VALUES WITH (MODULUS {PARTITIONS}, REMAINDER {remainder}){storage}"
        )
