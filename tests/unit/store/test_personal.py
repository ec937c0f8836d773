"""The list of places that can hold a person's data is the whole schema."""

from sqlalchemy import BigInteger, Column, Table

from throughline.store import personal, schema


def test_every_table_and_column_is_listed() -> None:
    assert personal.unlisted() == []


def test_a_new_table_and_a_new_column_are_missed() -> None:
    table = Table("diaries", schema.metadata, Column("day", BigInteger))
    try:
        assert personal.unlisted() == ["diaries.day"]
    finally:
        schema.metadata.remove(table)
