"""Files as programs write them: separators, encodings, broken rows, lists, and one order on several rows."""

import gzip
import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from throughline.cli.importing.mapping import RowError, parse_mapping, segment_mapping
from throughline.cli.importing.rows import ImportFileError, Row, find_form, read_rows
from throughline.cli.importing.values import number_of

TABLE = "userId;event;timestamp;city\r\nada;Order Completed;2025-03-01 10:00:00 UTC;Köln\r\n"


def rows_of(file: Path, mapping: str = "", **form: str) -> list[Row]:
    used = parse_mapping(mapping, "m") if mapping else segment_mapping()
    return list(read_rows(file, used, lambda _: None, find_form(file, **form)))


def events(rows: list[Row]) -> list[dict[str, Any]]:
    return [json.loads(row.event) for row in rows if row.error is None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("separator", list(",;\t|"))
@pytest.mark.parametrize("head", ["", "sep={}\r\n"])
def test_separator_and_encoding_are_detected(encoding: str, separator: str, head: str, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes((head.format(separator) + TABLE.replace(";", separator)).encode(encoding))
    (event,) = events(rows_of(file))
    assert event["properties"] == {"city": "Köln"}
    assert event["timestamp"] == "2025-03-01T10:00:00+00:00"


def test_a_late_umlaut_tells_the_encoding_and_what_was_detected_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    plain = "ada;Page;2025-03-01;Graz\r\n" * 20_000
    file.write_bytes((TABLE.replace("Köln", "Graz") + plain + "bob;Page;2025-03-01;Wörgl\r\n").encode("cp1252"))
    assert str(find_form(file)) == "CSV, separator semicolon, cp1252"
    assert events(rows_of(file))[-1]["properties"] == {"city": "Wörgl"}


def test_options_say_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "a.txt"
    file.write_bytes(TABLE.replace(";", "~").encode("mac_roman"))
    with pytest.raises(ImportFileError, match="--kind"):
        find_form(file)
    (event,) = events(rows_of(file, kind="csv", encoding="mac_roman", separator="~"))
    assert event["properties"] == {"city": "Köln"}
    with pytest.raises(ImportFileError, match="unknown encoding"):
        find_form(file, "csv", "utf-99")


def test_broken_rows_are_rows_of_their_own(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    lines = ["userId,event,timestamp,city", 'ada,Page,2025-03-01,"open', "bob,Page,2025-03-01,Graz", "cy,Page", ",,,"]
    file.write_bytes("\n".join([*lines, "di,Page,2025-03-01,\xff"]).encode("latin-1") + "ö".encode() * 3)
    rows = rows_of(file)
    assert [(row.number, row.error.code if row.error else "") for row in rows] == [
        (1, "wrong_columns"), (2, ""), (3, "wrong_columns"), (4, "unreadable"),
    ]  # fmt: skip
    assert "city is not UTF-8; --encoding" in str(rows[3].error)


def test_a_quote_that_is_never_closed_does_not_swallow_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text('userId,event,timestamp\nx,"A,2025-03-01\n' + "ada,Page,2025-03-01\n" * 500)
    rows = rows_of(file)
    assert [row.number for row in rows if row.error] == [1]
    assert len(events(rows)) == 500


LINES = """[event]
event = "Order Completed"
userId = { column = "card" }
timestamp = { column = "at" }
[properties]
total = { column = "total", number = true }
[lines]
of = "order"
[lines.columns]
product_id = { column = "sku" }
quantity = { column = "n", number = true }
"""


def test_lines_with_blank_columns_belong_to_the_order_above(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text(
        "order,card,at,total,sku,n\n1,ada,2025-03-01,30,A,1\n,,,,B,2\n1,,,,C,3\n2,bob,2025-03-02,5,D,1\n3,cy,soon,1,E,1\n"
    )
    rows = rows_of(file, LINES)
    assert [[line["product_id"] for line in event["properties"]["products"]] for event in events(rows)] == [
        ["A", "B", "C"],
        ["D"],
    ]
    (fault,) = [(row.number, row.error.field) for row in rows if row.error]
    assert fault == (5, "timestamp")


def test_one_id_in_a_whole_column_gathers_no_file(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_text("order,card,at,total,sku,n\n" + "1,ada,2025-03-01,30,A,1\n" * 5000)
    (row,) = rows_of(file, LINES)
    assert row.error is not None
    assert row.error.code == "too_large"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("is_list", [True, False])
def test_json_is_lines_or_a_list_in_any_encoding(encoding: str, is_list: bool, tmp_path: Path) -> None:
    written = [{"type": "track", "event": "Köln", "userId": f"u{n}", "x": "]}{[" * 50} for n in range(500)]
    text = json.dumps(written, ensure_ascii=False, indent=1)
    if not is_list:
        text = "\n".join(json.dumps(event, ensure_ascii=False) for event in written)
    file = tmp_path / "export"
    file.write_bytes(gzip.compress(text.encode(encoding)))
    read = events(list(read_rows(file, None, lambda _: None, find_form(file, "json"))))
    assert [{name: event[name] for name in written[0]} for event in read] == written


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with file.open("w") as out:
        out.write("[")
        out.writelines('{"event": "A", "userId": "u", "text": "' + "x" * 1000 + '"},\n' for _ in range(9_000))
        out.write('{"event": "A", "userId": "u"}]')
    tracemalloc.start()
    assert sum(1 for _ in read_rows(file, None, lambda _: None)) == 9_001
    assert tracemalloc.get_traced_memory()[1] < 8_000_000 < file.stat().st_size
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("text", "decimal", "number"),
    [
        ("12.50", "", 12.5), ("12,50", "", 12.5), ("1.234,50", "", 1234.5), ("1,234.50", "", 1234.5),
        ("1,234", "either", 1.234), ("1.234", "comma", 1234), ("€ 9,90", "", 9.9),
        ("12.50", "comma", 12.5), ("-12.00 EUR", "", -12), ("1e3", "", 1000),
    ],
)  # fmt: skip
def test_numbers_as_people_write_them(text: str, decimal: str, number: float) -> None:
    assert number_of(text, "c", "f", decimal) == number


@pytest.mark.parametrize("text", ["1,234", "free", "nan", "1.2.3", "12,50,1", ""])
def test_what_is_no_number_is_refused_with_the_fix(text: str) -> None:
    with pytest.raises(RowError, match="is not a number like"):
        number_of(text, "c", "f", "point")
