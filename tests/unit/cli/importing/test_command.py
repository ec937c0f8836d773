"""What the command remembers of an import, for each place that a file was sent to."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from throughline.cli import app
from throughline.cli.common.target import Target
from throughline.cli.importing.command import _begin, _separator
from throughline.cli.importing.rows import ImportFileError
from throughline.cli.importing.send import destination_of

HERE, ELSEWHERE = (destination_of(Target(f"http://localhost:{port}", "tlw_key")) for port in (8081, 9081))


def test_what_was_imported_is_remembered_for_each_destination(tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    for destination, name in ((HERE, "a.csv"), (ELSEWHERE, f"a.csv.{ELSEWHERE}")):
        progress, files = _begin(file, "print", destination, restart=False)
        assert [path.name for path in files] == [f"{name}.progress.json", f"{name}.rejected.jsonl"]
        assert progress.rows == 0
        progress.rows, progress.done = 7, True
        progress.write(files[0])
    for destination in (HERE, ELSEWHERE):
        with pytest.raises(typer.Exit):
            _begin(file, "print", destination, restart=False)
        progress, _ = _begin(file, "print", destination, restart=True)
        assert (progress.rows, progress.destination) == (0, destination)
    assert json.loads((tmp_path / "a.csv.progress.json").read_text())["destination"] == HERE


def test_another_key_is_another_destination_and_the_digest_shows_no_key() -> None:
    other = destination_of(Target("http://localhost:8081/", "tlw_other"))
    assert other != HERE == destination_of(Target("http://localhost:8081/", "tlw_key"))
    assert "tlw" not in HERE


def test_separators_have_names() -> None:
    assert [_separator(text) for text in ("tab", ";", "Comma", "")] == ["\t", ";", ",", ""]
    with pytest.raises(ImportFileError, match="--separator"):
        _separator("::")


def test_dates_are_read_as_the_option_says(tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_text("order_id,date,status,customer_id\n1,03/04/2025 10:00,completed,7\n2,13/04/2025,completed,7\n")
    as_orders = ["import", str(file), "--as", "woocommerce-orders", "--dry-run", "--json"]
    refused = CliRunner().invoke(app, as_orders)
    assert (refused.exit_code, json.loads(refused.stdout)["faulty_rows"]) == (1, 2)
    assert "say --dates day-first or --dates month-first" in refused.stderr
    read = CliRunner().invoke(app, [*as_orders, "--dates", "day-first", "--time-zone", "Europe/Vienna"])
    times = [event["timestamp"] for event in json.loads(read.stdout)["events"]]
    assert times == ["2025-04-03T10:00:00+02:00", "2025-04-13T00:00:00+02:00"]
    wrong = CliRunner().invoke(app, [*as_orders, "--dates", "dmy"])
    assert (wrong.exit_code, "day-first or month-first" in wrong.stderr) == (2, True)
