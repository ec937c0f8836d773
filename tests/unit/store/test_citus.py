"""Which tables lie where on Citus, and the statements that put them there, against the schema. No Citus is here."""

from pathlib import Path

from throughline.store import schema
from throughline.store.citus import FIRST, distributing, distribution_columns, rebuilding, whole_tables

TABLES = schema.metadata.tables


def test_every_table_is_spread_or_whole_and_counts_and_offsets_are_whole() -> None:
    assert sorted([*distribution_columns(), *whole_tables()]) == sorted(TABLES)
    assert {"phase_counts", "phase_history", "funnel_counts", "unmapped", "offsets", "workspaces"} <= {*whole_tables()}
    assert next(iter(distribution_columns())) == FIRST


def test_the_manual_names_every_spread_table() -> None:
    manual = (Path(__file__).parents[3] / "docs" / "scaling.md").read_text()
    assert not [name for name in distribution_columns() if f"`{name}`" not in manual]


def test_every_key_of_a_spread_table_holds_the_column_by_which_it_is_spread() -> None:
    for name, column in distribution_columns().items():
        table = TABLES[name]
        assert column in table.primary_key.columns
        assert table.columns[column].type.python_type is bytes  # all of one type: equal digests lie together
        assert all(column in index.columns for index in table.indexes if index.unique)
        assert not table.foreign_keys


def test_tables_are_spread_together_and_the_others_made_known() -> None:
    statements = [*distributing([*TABLES], 8)]
    assert statements[0] == "SELECT create_distributed_table('touchpoints', 'actor', shard_count => 8)"
    assert "SELECT create_distributed_table('links', 'id', colocate_with => 'touchpoints')" in statements
    assert "SELECT citus_add_local_table_to_metadata('offsets')" in statements
    assert len(statements) == len(TABLES) + 1
    assert "citus.max_cached_conns_per_worker = 16" in statements[-1]


def test_a_table_of_a_later_revision_is_laid_out_alone() -> None:
    statements = [*distributing(["bases", "sources"], 8)]
    assert statements[:-1] == [
        "SELECT create_distributed_table('bases', 'actor', colocate_with => 'touchpoints')",
        "SELECT citus_add_local_table_to_metadata('sources')",
    ]


def test_a_partitioned_table_is_made_anew_in_one_piece() -> None:
    statements = [*rebuilding(["ids"], {"ids": ["fillfactor=70"]})]
    firsts = [" ".join(statement.split()[:3]) for statement in statements]
    assert firsts[:2] == ["DROP TABLE ids", "CREATE TABLE ids"]
    assert set(firsts[2:-1]) == {f"CREATE INDEX {index.name}" for index in TABLES["ids"].indexes}
    assert statements[-1] == "ALTER TABLE ids SET (fillfactor=70)"
    assert not any("PARTITION" in statement for statement in statements)
    assert not any("%%" in statement for statement in rebuilding([*distribution_columns()], {}))
