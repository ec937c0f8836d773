"""`throughline model`: the phase models, those shipped and a team's own."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.access import AsJson, OfWorkspace
from throughline.cli.common.database import Data, in_database
from throughline.cli.common.output import Value, fail, instant, say, show_rows
from throughline.journey.durations import DAY_US
from throughline.journey.model import Phase, Rule
from throughline.kit.clock import now_us
from throughline.models import Definition, ModelError, define, shipped_models, shipped_text
from throughline.store import generations
from throughline.store.access.names import AdminError
from throughline.store.access.workspaces import list_workspaces

InWorkspace = Annotated[
    str | None, typer.Option("--workspace", help="Name of the workspace; not needed when there is only one.")
]
File = Annotated[
    Path, typer.Argument(metavar="FILE", help="A model file (TOML).", exists=True, dir_okay=False, readable=True)
]
Named = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as `model list` shows it.")]

models = typer.Typer(
    add_completion=False, help="Phase models: which phases a journey has, and what leads there.", no_args_is_help=True
)


@models.command("check")
def check(file: File) -> None:
    """Say whether a model file is right, or each fault with its line."""
    found = _define(file)
    placing = sum(bool(rules) for rules in found.entry.rules.values())
    following = "" if found.model.name in shipped_models() else f"; next: throughline model add {file}"
    say(
        f"{file} is right: model {found.model.name!r} with {len(found.model.phases)} phases, {placing} kinds of "
        f"touchpoints that lead there and {len(found.model.names)} event names{following}"
    )


@models.command("add")
def add(file: File, workspace: InWorkspace = None, data: Data = None) -> None:
    """Apply a team's own model in a workspace: its journeys are computed from the stored facts."""
    name = _define(file).model.name
    document = _read(file)

    async def work(connection: AsyncConnection) -> str:
        where = await chosen_workspace(connection, workspace)
        await generations.begin_restage(connection, where, name, document=document, now_us=now_us())
        return where

    where = in_database(work, data)
    say(
        f"model {name!r} is added to workspace {where!r} and being restaged; "
        f"next: throughline restage --model {name} --workspace {where!r}"
    )


@models.command("list")
def list_models(workspace: OfWorkspace = None, as_json: AsJson = False, data: Data = None) -> None:
    """Show the models that are applied, and those that could be."""
    found = in_database(lambda c: generations.list_models(c, workspace), data)
    rows: list[dict[str, Value]] = [
        {
            "id": one.id,
            "workspace": one.workspace,
            "name": one.name,
            "state": one.state,
            "default": one.is_default,
            "file": "own" if one.is_own else "shipped",
            "created_at": instant(one.created_us),
        }
        for one in found
    ]
    columns = ("workspace", "name", "state", "default", "file", "created_at")
    show_rows(rows, columns=columns, as_json=as_json, none="no model is applied yet")
    if not as_json:
        say(f"shipped: {', '.join(shipped_models())}")


@models.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A model's name, or a model file.")],
    workspace: InWorkspace = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the model's file, to begin another one with.")] = False,
    as_json: AsJson = False,
    data: Data = None,
) -> None:
    """Show a model: its phases and when they lapse, and what leads there."""
    text, file = _text(name, workspace, data)
    if as_toml:
        typer.echo(text, nl=False)
        return
    found = _sentences(lambda: define(text, file))
    if as_json:
        typer.echo(json.dumps(_structure(found), indent=2, ensure_ascii=False))
        return
    typer.echo(f"{found.model.name}: {found.label}\n")
    show_rows(
        [_phase(phase) for phase in found.model.phases],
        columns=("number", "phase", "label", "lapses_after", "with_emptied_cart"),
        as_json=False,
        none="",
    )
    typer.echo()
    show_rows(_kinds(found), columns=("kind", "leads_to", "effects", "events"), as_json=False, none="")


@models.command("use")
def use(name: Named, workspace: InWorkspace = None, data: Data = None) -> None:
    """Make a live model the one that is shown to whoever asks for none."""

    async def work(connection: AsyncConnection) -> str:
        where = await chosen_workspace(connection, workspace)
        await generations.set_default_model(connection, where, name)
        return where

    where = in_database(work, data)
    say(f"{name!r} is now the default model of workspace {where!r}")


@models.command("retire")
def retire(name: Named, workspace: InWorkspace = None, data: Data = None) -> None:
    """Stop applying a model and delete its journeys and counts; the facts stay."""

    async def work(connection: AsyncConnection) -> str:
        where = await chosen_workspace(connection, workspace)
        await generations.retire_model(connection, where, name)
        return where

    where = in_database(work, data)
    say(f"{name!r} is no longer applied in workspace {where!r}; throughline restage --model {name} brings it back")


async def chosen_workspace(connection: AsyncConnection, given: str | None) -> str:
    """The workspace that was named, or the only one there is.

    Raises:
        AdminError: none was named, and there is none or several.
    """
    if given is not None:
        return given
    names = [workspace.name for workspace in await list_workspaces(connection)]
    if len(names) != 1:
        there_are = f"there are: {', '.join(names)}" if names else "none yet: throughline workspace create NAME"
        raise AdminError(f"say which workspace with --workspace; {there_are}")
    return names[0]


# --- reading ----------------------------------------------------------------------------------------------------------


def _text(name: str, workspace: str | None, data: Path | None) -> tuple[str, str]:
    """A model's file and what to call it."""
    if name in shipped_models():
        return shipped_text(name), f"{name}.toml"
    if name.endswith(".toml"):
        return _read(Path(name)), name

    async def work(connection: AsyncConnection) -> str | None:
        where = await chosen_workspace(connection, workspace)
        return await generations.read_document(connection, where, name)

    document = in_database(work, data)
    assert document is not None  # it is none of the shipped
    return document, f"{name}.toml"


def _define(file: Path) -> Definition:
    found = _sentences(lambda: define(_read(file), str(file)))
    if found.model.name in shipped_models() and _read(file) != shipped_text(found.model.name):
        fail(f"{file}: name: {found.model.name!r} is the name of a shipped model; give yours another name")
    return found


def _sentences(work: Callable[[], Definition]) -> Definition:
    try:
        return work()
    except ModelError as error:
        faults = str(error).splitlines()
        for fault in faults:
            say(fault)
        count = f"{len(faults)} {'fault' if len(faults) == 1 else 'faults'}"
        fail(f"{count}; docs/reference/models.md says what a model file holds")


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        fail(f"{file} cannot be read: {reason}")


# --- showing ----------------------------------------------------------------------------------------------------------


def _phase(phase: Phase) -> dict[str, Value]:
    emptied = None if phase.emptied_window_us == phase.window_us else _days(phase.emptied_window_us)
    return {
        "number": phase.number,
        "phase": phase.name,
        "label": phase.label,
        "lapses_after": _days(phase.window_us),
        "with_emptied_cart": emptied,
    }


def _kinds(found: Definition) -> list[dict[str, Value]]:
    rules = _rules(found)
    rows: list[dict[str, Value]] = []
    for name, kind in found.vocabulary.items():
        effects = [
            f"{kind.order}s the order" if kind.order else "",
            {"add": "adds to the cart", "remove": "takes from the cart"}.get(kind.cart or "", ""),
            "counts as a page" if kind.page else "",
            "" if kind.by_customer else "not by the customer",
        ]
        events = [*(f"every {call} call" for call in kind.calls), *kind.names]
        rows.append(
            {
                "kind": name,
                "leads_to": "\n".join(_sentence(found, rule, at) for at, rule in enumerate(rules.get(name, ()))) or "-",
                "effects": ", ".join(effect for effect in effects if effect),
                "events": ", ".join(events),
            }
        )
    return rows


def _rules(found: Definition) -> dict[str, Sequence[Rule]]:
    kinds = [*found.model.calls.values(), *found.model.names.values()]
    return {kind.name: kind.rules for kind in kinds}


def _sentence(found: Definition, rule: Rule, number: int) -> str:
    _, when, guards = rule.name.partition(" when ")
    ends = ", where the journey ends" if rule.ends else ""
    return f"{'else ' if number else ''}{found.model.phases[rule.phase - 1].name}{ends}{when}{guards}"


def _structure(found: Definition) -> dict[str, object]:
    return {
        "name": found.model.name,
        "label": found.label,
        "phases": [
            {
                "number": phase.number,
                "name": phase.name,
                "label": phase.label,
                "window_days": phase.window_us // DAY_US,
                "emptied_window_days": phase.emptied_window_us // DAY_US,
            }
            for phase in found.model.phases
        ],
        "kinds": {
            name: {
                **kind.model_dump(),
                "rules": [rule.model_dump() for rule in found.entry.rules.get(name, [])],
            }
            for name, kind in found.vocabulary.items()
        },
    }


def _days(us: int) -> str:
    days = us // DAY_US
    return f"{days} day" if days == 1 else f"{days} days"
