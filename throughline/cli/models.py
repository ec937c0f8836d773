"""`throughline model`: the phase models, those shipped and a team's own."""

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from throughline.cli.common.database import administer, administering, chosen_workspace, in_database, with_engine
from throughline.cli.common.options import (
    DataOption,
    JsonOption,
    OnlyWorkspaceOption,
    SureOption,
    WorkspaceUnlessSingleOption,
    command_group,
)
from throughline.cli.common.output import Row, confirm, fail, say, show_instant, show_json, show_result, show_rows
from throughline.cli.restage import Restage, UseOption, WaitOption, until_live
from throughline.journey.durations import DAY_US
from throughline.journey.model import Model, Phase, Rule
from throughline.kit.clock import now_us
from throughline.models import Definition, ModelError, define, shipped_models, shipped_text
from throughline.store import generations

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A model file (TOML).", exists=True, dir_okay=False, readable=True)
]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="The model's name, as `model list` shows it.")]

models = command_group("Phase models: which phases a journey has, and what leads there.")


@models.command("check")
def check(file: FileArgument, as_json: JsonOption = False) -> None:
    """Say whether a model file is right, or each fault with its line."""
    definition = _define(file)
    model = definition.model
    leading_kinds = sum(bool(rules) for rules in definition.entry.rules.values())
    following = "" if model.name in shipped_models() else f"; next: throughline model add {file}"
    show_result(
        {"file": str(file), "model": model.name, "phases": len(model.phases), "event_names": len(model.names)},
        f"{file} is right: model {model.name!r} with {len(model.phases)} phases, {leading_kinds} kinds of "
        f"touchpoints that lead there and {len(model.names)} event names{following}",
        as_json=as_json,
    )


@models.command("add")
def add(
    file: FileArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    use: UseOption = False,
    wait: WaitOption = True,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Apply a team's own model in a workspace: its journeys are computed from the stored facts, then it is live.

    The stagers do the work, and go on with it if this command is ended; `throughline restage` watches and switches.
    """
    name = _define(file).model.name
    document = _read(file)

    async def work(engine: AsyncEngine) -> None:
        async with administering(engine, "model add", {"model": name}) as (connection, entry):
            workspace_name = await chosen_workspace(connection, workspace)
            entry["workspace"] = workspace_name
            generation = await generations.begin_restage(
                connection, workspace_name, name, document=document, now_us=now_us()
            )
        say(f"model {name!r} is added to workspace {workspace_name!r}")
        await until_live(engine, Restage(generation, name, workspace_name), use=use, wait=wait, as_json=as_json)

    with_engine(work, data)


@models.command("list")
def list_models(workspace: OnlyWorkspaceOption = None, as_json: JsonOption = False, data: DataOption = None) -> None:
    """Show the models that are applied, and those that could be."""
    rows: list[Row] = [
        {
            "id": model.id,
            "workspace": model.workspace,
            "name": model.name,
            "state": model.state,
            "default": model.is_default,
            "file": "own" if model.is_own else "shipped",
            "created_at": show_instant(model.created_us),
        }
        for model in in_database(lambda c: generations.list_models(c, workspace), data)
    ]
    columns = ("workspace", "name", "state", "default", "file", "created_at")
    show_rows(rows, columns=columns, as_json=as_json, none="no model is applied yet")
    if not as_json:
        say(f"shipped: {', '.join(shipped_models())}")


@models.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="NAME|FILE", help="A model's name, or a model file.")],
    workspace: WorkspaceUnlessSingleOption = None,
    as_toml: Annotated[bool, typer.Option("--toml", help="Print the model's file, to begin another one with.")] = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Show a model: its phases and when they lapse, and what leads there."""
    text, file = _text(name, workspace, data)
    if as_toml:
        typer.echo(text, nl=False)
        return
    definition = _or_faults(lambda: define(text, file))
    if as_json:
        show_json(_document(definition))
        return
    typer.echo(f"{definition.model.name}: {definition.label}\n")
    show_rows(
        [_phase_row(phase) for phase in definition.model.phases],
        columns=("number", "phase", "label", "lapses_after", "with_emptied_cart"),
        as_json=False,
        none="",
    )
    typer.echo()
    show_rows(_kind_rows(definition), columns=("kind", "leads_to", "effects", "events"), as_json=False, none="")


@models.command("use")
def use(
    name: NameArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Make a live model the one that is shown to whoever asks for none."""
    workspace_name = _in_workspace(
        "model use",
        name,
        lambda connection, chosen: generations.set_default_model(connection, chosen, name),
        workspace,
        data,
    )
    show_result(
        {"model": name, "workspace": workspace_name, "default": True},
        f"{name!r} is now the default model of workspace {workspace_name!r}",
        as_json=as_json,
    )


@models.command("retire")
def retire(
    name: NameArgument,
    workspace: WorkspaceUnlessSingleOption = None,
    is_sure: SureOption = False,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Stop applying a model and delete its journeys and counts; the facts stay."""
    confirm("Retire?", is_sure=is_sure, loss=f"the journeys and counts of model {name!r} will be deleted")
    workspace_name = _in_workspace(
        "model retire",
        name,
        lambda connection, chosen: generations.retire_model(connection, chosen, name),
        workspace,
        data,
    )
    show_result(
        {"model": name, "workspace": workspace_name, "state": "retired"},
        f"{name!r} is no longer applied in workspace {workspace_name!r}; "
        f"throughline restage --model {name} brings it back",
        as_json=as_json,
    )


def _in_workspace(
    action: str,
    model: str,
    change: Callable[[AsyncConnection, str], Awaitable[object]],
    workspace: str | None,
    data: Path | None,
) -> str:
    """Make a change in the workspace of an option, or in the only one, and return its name."""

    async def work(connection: AsyncConnection) -> str:
        workspace_name = await chosen_workspace(connection, workspace)
        await change(connection, workspace_name)
        return workspace_name

    return administer(action, work, data, {"model": model}, outcome=lambda chosen: {"workspace": chosen})


# --- reading ----------------------------------------------------------------------------------------------------------


def _text(name: str, workspace: str | None, data: Path | None) -> tuple[str, str]:
    """The text of a model's file, and the file's name for messages."""
    if name in shipped_models():
        return shipped_text(name), f"{name}.toml"
    if name.endswith(".toml"):
        return _read(Path(name)), name

    async def work(connection: AsyncConnection) -> str | None:
        return await generations.read_document(connection, await chosen_workspace(connection, workspace), name)

    document = in_database(work, data)
    assert document is not None  # only a shipped model has none
    return document, f"{name}.toml"


def _define(file: Path) -> Definition:
    definition = _or_faults(lambda: define(_read(file), str(file)))
    name = definition.model.name
    if name in shipped_models() and _read(file) != shipped_text(name):
        fail(f"{file}: name: {name!r} is the name of a shipped model; give yours another name")
    return definition


def _or_faults(definition: Callable[[], Definition]) -> Definition:
    """The definition; ends the command with each fault on a line when the model's file has any."""
    try:
        return definition()
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


def _phase_row(phase: Phase) -> Row:
    with_emptied_cart = None if phase.emptied_window_us == phase.window_us else _days(phase.emptied_window_us)
    return {
        "number": phase.number,
        "phase": phase.name,
        "label": phase.label,
        "lapses_after": _days(phase.window_us),
        "with_emptied_cart": with_emptied_cart,
    }


def _kind_rows(definition: Definition) -> list[Row]:
    model = definition.model
    rules = {kind.name: kind.rules for kind in (*model.calls.values(), *model.names.values())}
    rows: list[Row] = []
    for name, kind in definition.vocabulary.items():
        effects = [
            f"{kind.order}s the order" if kind.order else "",
            {"add": "adds to the cart", "remove": "takes from the cart"}.get(kind.cart or "", ""),
            "counts as a page" if kind.page else "",
            "" if kind.by_customer else "not by the customer",
            f"friction: {kind.friction}" if kind.friction else "",
        ]
        events = [*(f"every {call} call" for call in kind.calls), *kind.names]
        rows.append(
            {
                "kind": name,
                "leads_to": _rule_sentences(model, rules.get(name, ())) or "-",
                "effects": ", ".join(effect for effect in effects if effect),
                "events": ", ".join(events),
            }
        )
    return rows


def _rule_sentences(model: Model, rules: Sequence[Rule]) -> str:
    """The rules of a kind in the order in which they are tried, one a line."""
    lines = []
    for number, rule in enumerate(rules):
        _, when, guards = rule.name.partition(" when ")
        ends = ", where the journey ends" if rule.ends else ""
        otherwise = "else " if number else ""
        lines.append(f"{otherwise}{model.phases[rule.phase - 1].name}{ends}{when}{guards}")
    return "\n".join(lines)


def _document(definition: Definition) -> dict[str, object]:
    """The model as `show --json` prints it."""
    return {
        "name": definition.model.name,
        "label": definition.label,
        "phases": [
            {
                "number": phase.number,
                "name": phase.name,
                "label": phase.label,
                "window_days": phase.window_us // DAY_US,
                "emptied_window_days": phase.emptied_window_us // DAY_US,
            }
            for phase in definition.model.phases
        ],
        "kinds": {
            name: {
                **kind.model_dump(),
                "rules": [rule.model_dump() for rule in definition.entry.rules.get(name, [])],
            }
            for name, kind in definition.vocabulary.items()
        },
    }


def _days(us: int) -> str:
    days = us // DAY_US
    return f"{days} day" if days == 1 else f"{days} days"
