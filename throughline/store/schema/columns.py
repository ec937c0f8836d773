"""UnnestParameters that several tables have."""

from sqlalchemy import BigInteger, Column, Identity, Text


def identity_column() -> Column[int]:
    """Returns the primary key of a table whose rows have numbers."""
    return Column("id", BigInteger, Identity(always=True), primary_key=True)


def sorted_text() -> Text:
    """Returns the type of ids that sort by their bytes, as in the fold, whatever the database's collation."""
    return Text(collation="C")
