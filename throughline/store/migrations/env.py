"""How Alembic reaches the database: on the connection that `migrate.py` opened and locked."""

from alembic import context

from throughline.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transaction_per_migration=True,  # so that a revision may leave its transaction (CREATE INDEX CONCURRENTLY)
)
with context.begin_transaction():
    context.run_migrations()
