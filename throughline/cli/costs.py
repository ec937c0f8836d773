"""`throughline cost`: what was spent to bring customers, from a file of whoever sells that."""

import csv
from collections.abc import Iterable, Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.common.database import administer
from throughline.cli.common.options import DataOption, JsonOption, WorkspaceOption, command_group
from throughline.cli.common.output import fail, show_result
from throughline.cli.importing.mapping import RowError
from throughline.cli.importing.rows import FileForm, ImportFileError, find_form, opened_text
from throughline.cli.importing.values import number_of
from throughline.journey.money import currency_code, minor_units
from throughline.kit.text_form import declared_separator
from throughline.store.access.names import workspace_id
from throughline.store.costs import Cost, write_costs

costs = command_group("Costs: what was spent a day on channels, campaigns and the like.")

DIMENSIONS = ("channel", "source", "medium", "campaign", "content", "referrer", "device", "message")
"""Those of attribution."""
MAX_ROWS = 200_000
"""Maximum number of rows of one file."""
MAX_VALUE = 200
"""Maximum number of characters of a value; attribution cuts longer ones there, too."""
MAX_AMOUNT = 10**17
"""Maximum cost of a day, value and currency."""
_CHUNK = 10_000
_EPOCH = date(1970, 1, 1).toordinal()


@costs.callback()
def _costs() -> None:
    """Costs: what was spent a day on channels, campaigns and the like."""
    # A group with one command would be that command.


@costs.command("import")
def import_costs(
    file: Annotated[
        Path,
        typer.Argument(
            exists=True, dir_okay=False, help="CSV with the columns day, amount, currency, and campaign (or another)."
        ),
    ],
    workspace: WorkspaceOption,
    currency: Annotated[str, typer.Option(help="Of rows without one.")] = "",
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Take in what a file says was spent, in the place of what was known of the same days and values.

    The column that names what was paid for is called channel, source, medium, campaign, content, referrer, device or
    message, as in attribution. Rows of one day, value and currency are added up; the same file again changes nothing.
    """
    try:
        form = find_form(file, kind="csv")
        with opened_text(file, form) as text:
            rows = parse_costs(_rows(text, form), currency)
    except (ImportFileError, OSError, EOFError, UnicodeError, csv.Error) as error:
        fail(str(error))
    except RowError as error:
        fail(f"{file}: {error}; nothing was imported")

    async def write(connection: AsyncConnection) -> None:
        number = await workspace_id(connection, workspace)
        for start in range(0, len(rows), _CHUNK):
            await write_costs(connection, number, rows[start : start + _CHUNK])

    administer("cost import", write, data, {"workspace": workspace, "file": file.name, "costs": len(rows)})
    days = {row.day for row in rows}
    values = {(row.dimension, row.value) for row in rows}
    show_result(
        {"workspace": workspace, "costs": len(rows), "days": len(days), "values": len(values)},
        f"took in {len(rows)} costs of {len(days)} days and {len(values)} values",
        as_json=as_json,
    )


def parse_costs(rows: Iterable[tuple[int, Sequence[str]]], default_currency: str = "") -> list[Cost]:
    """Returns the costs in a table's rows, the first of which names the columns; each is (line, cells).

    Raises:
        RowError: a row is no cost; the message names the line, the column and what would do.
    """
    table = iter(rows)
    _, names = next(table, (0, ()))
    header = [name.strip().lower() for name in names]
    dimensions = [name for name in DIMENSIONS if name in header]
    if "day" not in header or "amount" not in header or len(dimensions) != 1:
        raise _error(
            "day",
            f"the first line has to name the columns day, amount and one of {', '.join(DIMENSIONS)}; "
            f"it names {', '.join(header) or 'none'}",
        )
    dimension = dimensions[0]
    day_at, amount_at, value_at = (header.index(name) for name in ("day", "amount", dimension))
    currency_at = header.index("currency") if "currency" in header else None
    sums: dict[tuple[str, int, str, str], int] = {}
    for count, (line, cells) in enumerate(table, start=1):
        if count > MAX_ROWS:
            raise _error("day", f"there are more than {MAX_ROWS:,} rows; split the file")
        if len(cells) < len(header):
            raise _error(dimension, f"line {line} has {len(cells)} cells, not {len(header)}")
        currency = (currency_code(cells[currency_at]) if currency_at is not None else "") or default_currency
        if len(currency) != 3 or not currency.isalpha():
            raise _error("currency", f"line {line}, currency: {currency!r} is no code such as EUR; --currency says one")
        value = cells[value_at].strip()[:MAX_VALUE]
        if not value or "\0" in value:
            raise _error(dimension, f"line {line}, {dimension}: it is empty")
        try:
            amount = minor_units(number_of(cells[amount_at], "amount", "amount", ""), currency)
        except RowError:
            raise _error("amount", f"line {line}, amount: {cells[amount_at][:50]!r} is no number") from None
        if amount < 0:
            raise _error("amount", f"line {line}, amount: {cells[amount_at][:50]!r} is less than nothing")
        key = (dimension, _day(cells[day_at], line), value, currency)
        sums[key] = min(MAX_AMOUNT, sums.get(key, 0) + amount)
    return [Cost(*key, amount) for key, amount in sums.items()]


def _rows(text: Iterable[str], form: FileForm) -> Iterator[tuple[int, Sequence[str]]]:
    reader = csv.reader(text, delimiter=form.separator)
    for cells in reader:
        is_declaration = reader.line_num == 1 and declared_separator(form.separator.join(cells)) != ""
        if any(cell.strip() for cell in cells) and not is_declaration:
            yield reader.line_num, cells


def _day(text: str, line: int) -> int:
    try:
        return date.fromisoformat(text.strip()[:10]).toordinal() - _EPOCH
    except ValueError:
        raise _error("day", f"line {line}, day: {text[:50]!r} is no day such as 2026-11-23") from None


def _error(field: str, message: str) -> RowError:
    return RowError("invalid_field", field, message)
