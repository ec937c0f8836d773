"""What holds for every command: options with one name, output for scripts, exit statuses, completion."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from throughline.cli import app
from throughline.cli.common.output import confirm
from throughline.cli.common.status import Status

ROOT = Path(__file__).parents[3]
MANUAL = (ROOT / "docs" / "reference" / "cli.md").read_text()
WITHOUT_JSON = {"run", "identity export"}
WITHOUT_STACK = {"model check", "secrets key"}
"""They read no database, no Kafka and no ingest."""
WITH_A_QUESTION = {
    "identity erase", "key revoke", "token revoke", "model retire", "workspace retention", "rejected replay",
}  # fmt: skip


def commands(group: TyperGroup, path: str = "") -> Iterator[tuple[str, set[str]]]:
    """The path and the long options of every command."""
    context = group.make_context("throughline", ["--help"], resilient_parsing=True)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, TyperGroup):
            yield from commands(command, f"{path}{name} ")
        else:
            assert isinstance(command, TyperCommand)
            yield f"{path}{name}", {word for each in command.params for word in each.opts if word.startswith("--")}


ROOT_COMMAND = get_command(app)
assert isinstance(ROOT_COMMAND, TyperGroup)
COMMANDS = dict(commands(ROOT_COMMAND))


def test_every_command_prints_for_scripts() -> None:
    assert len(COMMANDS) > 30
    assert {name for name, options in COMMANDS.items() if "--json" not in options} == WITHOUT_JSON
    for name in WITHOUT_JSON:
        assert f"`{name}`" in MANUAL


def test_every_command_finds_its_stack_by_the_same_option() -> None:
    assert {name for name, options in COMMANDS.items() if "--data" not in options} == WITHOUT_STACK


def test_what_cannot_be_undone_asks_and_can_be_answered_beforehand() -> None:
    assert {name for name, options in COMMANDS.items() if "--yes" in options} == WITH_A_QUESTION
    for name in WITH_A_QUESTION:
        assert f"`{name}" in MANUAL.partition("## Questions")[2].partition("##")[0]


def test_the_manual_lists_the_exit_statuses() -> None:
    listed = re.findall(r"^\| (\d+) \| ([A-Z_]+) \|", MANUAL, re.MULTILINE)
    assert listed == [(str(int(status)), status.name) for status in Status]
    source = "".join(file.read_text() for file in (ROOT / "throughline" / "cli").rglob("*.py"))
    for status in Status:
        assert f"Status.{status.name}" in source, f"no command ends with {status.name}"


def test_no_command_ends_with_a_number_of_its_own() -> None:
    for file in (ROOT / "throughline" / "cli").rglob("*.py"):
        assert not re.search(r"typer\.Exit\(\d|sys\.exit\(|code=\d", file.read_text()), file


@pytest.mark.parametrize(
    ("words", "expected"),
    [("mod", "model"), ("model re", "retire"), ("key revoke --y", "--yes"), ("restage --no", "--no-wait")],
)
def test_completion(words: str, expected: str) -> None:
    number = len(words.split())
    environment = {
        "_THROUGHLINE_COMPLETE": "complete_bash",
        "COMP_WORDS": f"throughline {words}",
        "COMP_CWORD": str(number),
    }
    completed = CliRunner().invoke(app, [], env=environment, prog_name="throughline")
    assert expected in completed.stdout.split()


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_of_a_shell_is_printed(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)  # the parent process, else
    shown = CliRunner().invoke(app, ["--show-completion"], prog_name="throughline")
    assert shown.exit_code == Status.DONE
    assert "_THROUGHLINE_COMPLETE" in shown.stdout


# --- questions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("typed", "status"), [("y\n", 0), ("n\n", Status.CANNOT), ("", Status.WRONG_USE)])
def test_a_question_is_answered_or_the_command_ends(typed: str, status: int) -> None:

    asking = typer.Typer()

    @asking.command()
    def ask(yes: bool = False) -> None:
        confirm("Delete?", is_sure=yes, loss="all of it goes")
        typer.echo("done")

    answered = CliRunner().invoke(asking, [], input=typed)
    assert (answered.exit_code, "done" in answered.stdout) == (status, not status)
    assert "all of it goes" in answered.stderr
    assert ("--yes" in answered.stderr) == (status == Status.WRONG_USE)
    assert CliRunner().invoke(asking, ["--yes"]).stdout == "done\n"


# --- which stack ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [("demo", "--count", "1"), ("replay-csv", "events.csv"), ("import", "events.csv")])
def test_senders_look_for_the_stack_on_data(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("user_id,event,timestamp\nada,Order Completed,2026-01-01T00:00:00Z\n")
    arguments = [str(tmp_path / word) if word.endswith(".csv") else word for word in words]
    environment = {"DATA": str(tmp_path / "elsewhere"), "COLUMNS": "500"}
    refused = CliRunner().invoke(app, arguments, env=environment)
    assert refused.exit_code == Status.WRONG_USE
    assert f"nothing runs on {tmp_path / 'elsewhere'}/" in refused.stderr
    refused = CliRunner().invoke(app, [*arguments, "--data", str(tmp_path / "named")], env=environment)
    assert f"nothing runs on {tmp_path / 'named'}/" in refused.stderr


@pytest.mark.parametrize("words", [("workspace", "list"), ("tail",), ("migrate",), ("doctor",), ("rejected", "list")])
def test_a_folder_that_is_named_is_never_passed_over(words: tuple[str, ...], tmp_path: Path) -> None:
    folder = str(tmp_path / "stopped")
    environment = {"DATA": folder, "DATABASE_URL": "", "COLUMNS": "500"}
    for arguments in (words, (*words, "--data", folder)):
        refused = CliRunner().invoke(app, list(arguments), env=environment)
        assert (refused.exit_code, refused.stdout) == (Status.CANNOT, "")
        assert f"nothing runs on {folder}" in refused.stderr
    elsewhere = {**environment, "DATABASE_URL": "postgresql://u:p@localhost:1/x"}
    assert CliRunner().invoke(app, ["workspace", "list"], env=elsewhere).exit_code == Status.UNREACHABLE


@pytest.mark.parametrize(
    "words",
    [("workspace", "list"), ("tail",), ("demo", "--count", "1"), ("migrate",), ("doctor",), ("rejected", "list")],
)
def test_a_wrong_variable_is_wrong_use_of_every_command(words: tuple[str, ...]) -> None:
    refused = CliRunner().invoke(app, list(words), env={"DATABASE_URL": "mysql://x", "COLUMNS": "500"})
    assert refused.exit_code == Status.WRONG_USE
    assert "DATABASE_URL" in refused.stderr


@pytest.mark.parametrize("words", [("workspace", "list"), ("migrate",), ("key", "revoke", "1", "--yes"), ("tail",)])
def test_a_database_that_does_not_answer_is_told_from_a_refusal(words: tuple[str, ...]) -> None:
    away = CliRunner().invoke(
        app, list(words), env={"DATABASE_URL": "postgresql://u:p@localhost:1/x", "COLUMNS": "500"}
    )
    assert away.exit_code == Status.UNREACHABLE
    assert away.stdout == ""
    assert "no PostgreSQL answers at postgresql://u@localhost:1/x" in away.stderr


def test_doctor_says_what_does_not_answer() -> None:
    environment = {"DATABASE_URL": "postgresql://u:secret@localhost:1/x", "KAFKA": "localhost:1"}
    seen = CliRunner().invoke(app, ["doctor", "--json", "--api-url", "http://localhost:1"], env=environment)
    assert seen.exit_code == Status.UNREACHABLE
    assert "secret" not in seen.stdout
    for words in ('"healthy": false', '"unreachable"', "start the server, or set DATABASE_URL", "start a broker"):
        assert words in seen.stdout
