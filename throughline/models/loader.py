"""Reads a vocabulary and a model, checks both, gives one `Model`."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from throughline.journey.guards import GUARDS
from throughline.journey.model import Kind, Model, Phase, Rule, normalise

FOLDER = Path(__file__).parent
DAY_US = 86_400_000_000


class ModelError(ValueError):
    """A model or vocabulary file is wrong; the message names the file, the place in it and the fix."""


@cache
def load_model(name: str) -> Model:
    """A shipped model by name, such as "seven_phase".

    Raises:
        ModelError: no such model, or its file is wrong.
    """
    path = FOLDER / f"{name}.toml"
    if name == "vocabulary" or not path.is_file():
        shipped = sorted(p.stem for p in FOLDER.glob("*.toml") if p.stem != "vocabulary")
        raise ModelError(f"no model named {name!r}; there are: {', '.join(shipped)}")
    return build(_read(path), _read(FOLDER / "vocabulary.toml"), file=path.name)


def build(model: dict[str, Any], vocabulary: dict[str, Any], *, file: str = "model") -> Model:
    """A `Model` from parsed TOML.

    Raises:
        ModelError: a phase, guard, kind or name that does not exist, or stands twice.
    """
    phases: dict[str, Phase] = {}
    for number, entry in enumerate(_need(model, "phases", list, file), start=1):
        where = f"{file}: phases[{number}]"
        name = _need(entry, "name", str, where)
        if name in phases:
            raise ModelError(f"{where}.name: {name!r} stands twice")
        days = _need(entry, "window_days", int, where)
        if days < 1:
            raise ModelError(f"{where}.window_days: {days} is not a number of days above 0")
        phases[name] = Phase(number, name, _need(entry, "label", str, where), days * DAY_US)
    if not phases:
        raise ModelError(f"{file}: phases is empty; a model needs at least one")
    rules = _need(model, "rules", dict, file)
    unknown = sorted(set(rules) - set(vocabulary))
    if unknown:
        raise ModelError(f"{file}: rules.{unknown[0]}: the vocabulary has no kind of that name")
    calls: dict[str, Kind] = {}
    names: dict[str, Kind] = {}
    for kind_name, entry in vocabulary.items():
        where = f"vocabulary: {kind_name}"
        order = entry.get("order", "")
        if order not in ("", "place", "cancel", "refund"):
            raise ModelError(f'{where}.order: {order!r} is not one of "place", "cancel", "refund"')
        kind = Kind(
            kind_name,
            order,
            kind_name == "page",
            tuple(_rules(kind_name, rules.get(kind_name, []), phases, f"{file}: rules.{kind_name}")),
        )
        for call in entry.get("calls", []):
            calls[call] = kind
        for event in entry.get("names", []):
            key = normalise(event)
            if key in names:
                raise ModelError(f"{where}.names: {event!r} already means {names[key].name}")
            names[key] = kind
    return Model(_need(model, "name", str, file), tuple(phases.values()), calls, names)


def _rules(kind: str, entries: list[dict[str, Any]], phases: dict[str, Phase], where: str) -> list[Rule]:
    rules = []
    for number, entry in enumerate(entries, start=1):
        place = f"{where}[{number}]"
        phase = _need(entry, "phase", str, place)
        if phase not in phases:
            raise ModelError(f"{place}.phase: {phase!r} is not one of the model's phases: {', '.join(phases)}")
        guards = entry.get("when", [])
        for guard in guards:
            if guard not in GUARDS:
                raise ModelError(f"{place}.when: no guard {guard!r}; there are: {', '.join(GUARDS)}")
        label = f"{kind} when {' and '.join(guards)}" if guards else kind
        rules.append(Rule(label, tuple(GUARDS[guard] for guard in guards), phases[phase].number))
    return rules


def _need(table: dict[str, Any], key: str, kind: type, where: str) -> Any:
    value = table.get(key)
    if not isinstance(value, kind):
        raise ModelError(f"{where}: {key} is missing or not a {kind.__name__}")
    return value


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except tomllib.TOMLDecodeError as error:
        raise ModelError(f"{path.name}: {error}") from None
