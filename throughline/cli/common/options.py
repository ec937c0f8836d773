"""Options and arguments that several commands have, with one name, one type and one help text each."""

from pathlib import Path
from typing import Annotated

import typer

DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Data folder of `throughline run`; goes before the variables. Default: DATA, or .throughline.",
        show_default=False,
    ),
]
SureOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
UrlOption = Annotated[str | None, typer.Option(help="Address of ingest. Default: that of the running stack.")]
WriteKeyOption = Annotated[str | None, typer.Option(help="Write key. Default: that of the running stack.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
WorkspaceOption = Annotated[str, typer.Option("--workspace", help="Name of the workspace.")]
OnlyWorkspaceOption = Annotated[str | None, typer.Option("--workspace", help="Only those of this workspace.")]
EventsOfWorkspaceOption = Annotated[str | None, typer.Option("--workspace", help="Only events of this workspace.")]
WorkspaceUnlessSingleOption = Annotated[
    str | None, typer.Option("--workspace", help="Name of the workspace; not needed when there is only one.")
]


def command_group(help_text: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(add_completion=False, help=help_text, no_args_is_help=True)
