"""A model file joined with the vocabulary and checked: one `Model`."""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

from throughline.journey.durations import DAY_US
from throughline.journey.guards import GUARDS, Guard, before
from throughline.journey.model import Kind, Model, Phase, Rule, normalise
from throughline.models.document import MODEL, VOCABULARY, Document, KindEntry, ModelEntry, ModelError

FOLDER = Path(__file__).parent
BEFORE = "before "

_VOCABULARY = "vocabulary"
_MODELS_REMEMBERED = 256


class Definition(NamedTuple):
    """A model, and what its file says for people."""

    model: Model
    label: str
    entry: ModelEntry
    vocabulary: Mapping[str, KindEntry]
    """All kinds of the model: the shipped ones, with names that the model adds or takes away, and its own."""


def shipped_models() -> list[str]:
    """Returns the names of the shipped models."""
    return sorted(path.stem for path in FOLDER.glob("*.toml") if path.stem != _VOCABULARY)


def shipped_text(name: str) -> str:
    """Returns the file of a shipped model.

    Raises:
        ModelError: none of that name is shipped.
    """
    if name not in shipped_models():
        raise ModelError(f"no model named {name!r} is shipped; there are: {', '.join(shipped_models())}")
    return (FOLDER / f"{name}.toml").read_text(encoding="utf-8")


@cache
def load_model(name: str) -> Model:
    """Returns a shipped model by name, such as "seven_phase".

    Raises:
        ModelError: no such model.
    """
    return parse_model(shipped_text(name), f"{name}.toml")


def parse_model(text: str, file: str) -> Model:
    """Returns the model of a file, joined with the shipped vocabulary.

    Args:
        text: TOML.
        file: what error messages call the file.

    Raises:
        ModelError: each fault with its line and field.
    """
    return define(text, file).model


def model_of(name: str, document: str | None) -> Model:
    """Returns the model of a generation: of its document, or the shipped one of its name when it has none.

    Raises:
        ModelError: the document is no model, or none of that name is shipped.
    """
    return load_model(name) if document is None else _parsed(name, document)


@lru_cache(_MODELS_REMEMBERED)
def _parsed(name: str, document: str) -> Model:
    return parse_model(document, f"{name}.toml")


@cache
def vocabulary() -> Mapping[str, KindEntry]:
    """Returns the shipped kinds by name."""
    text = (FOLDER / f"{_VOCABULARY}.toml").read_text(encoding="utf-8")
    document = Document(text, f"{_VOCABULARY}.toml")
    kinds = document.read(VOCABULARY)
    _check_kinds(document, (), kinds)
    if document.faults:
        raise document.error()
    return kinds


def define(text: str, file: str) -> Definition:
    """Returns what `parse_model` does, with what the file says for people.

    Raises:
        ModelError: each fault with its line and field.
    """
    document = Document(text, file)
    entry = document.read(MODEL)
    phases = _phases(document, entry)
    kinds = _kinds(document, entry)
    for name, kind in entry.kinds.items():
        if kind.like is not None and kind.like not in kinds:
            document.unknown(("kinds", name, "like"), "no kind", kind.like, kinds)
    rules = {name: _rules(document, entry, name, phases, kinds) for name in entry.rules}
    reached = {rule.phase for of_kind in rules.values() for rule in of_kind}
    for phase in phases.values():
        if phase.number not in reached and not document.faults:
            document.fault(
                ("phases", phase.number - 1), f"no rule leads to {phase.name!r}; give it one or take the phase away"
            )
    if document.faults:
        raise document.error()
    calls: dict[str, Kind] = {}
    names: dict[str, Kind] = {}
    for name, kind in kinds.items():
        value = Kind(
            name,
            rules.get(name, rules.get(kind.like or "", ())),
            kind.order or "",
            kind.cart or "",
            kind.page,
            kind.by_customer,
            kind.friction or "",
        )
        calls.update(dict.fromkeys(kind.calls, value))
        names.update((normalise(event), value) for event in kind.names)
    return Definition(Model(entry.name, tuple(phases.values()), calls, names), entry.label, entry, kinds)


def _phases(document: Document, entry: ModelEntry) -> dict[str, Phase]:
    days = {phase.name: phase.window_days for phase in entry.phases}
    phases: dict[str, Phase] = {}
    for number, phase in enumerate(entry.phases, start=1):
        place = ("phases", number - 1)
        if phase.name in phases:
            document.fault((*place, "name"), f"{phase.name!r} stands twice; each phase needs a name of its own")
        emptied = phase.emptied_window or phase.name
        if emptied not in days:
            document.unknown((*place, "emptied_window"), "no phase", emptied, days)
            emptied = phase.name
        phases[phase.name] = Phase(number, phase.name, phase.label, phase.window_days * DAY_US, days[emptied] * DAY_US)
    return phases


def _kinds(document: Document, entry: ModelEntry) -> dict[str, KindEntry]:
    """Returns the shipped kinds and the model's own. Names and calls of the model's leave the shipped ones."""
    _check_kinds(document, ("kinds",), entry.kinds)
    own_names = {normalise(event) for kind in entry.kinds.values() for event in kind.names}
    own_calls = {call for kind in entry.kinds.values() for call in kind.calls}
    kinds = {
        name: kind.model_copy(
            update={
                "calls": [call for call in kind.calls if call not in own_calls],
                "names": [event for event in kind.names if normalise(event) not in own_names],
            }
        )
        for name, kind in vocabulary().items()
    }
    for name, kind in entry.kinds.items():
        shipped = kinds.get(name)
        if shipped is None:
            kinds[name] = kind
            continue
        for effect in sorted(kind.model_fields_set - {"calls", "names"}):
            document.fault(
                ("kinds", name, effect), f"{name!r} is a shipped kind and keeps its effects; name a kind of your own"
            )
        kinds[name] = shipped.model_copy(
            update={"calls": [*shipped.calls, *kind.calls], "names": [*shipped.names, *kind.names]}
        )
    return kinds


def _check_kinds(document: Document, place: tuple[str, ...], kinds: Mapping[str, KindEntry]) -> None:
    taken: dict[tuple[str, str], str] = {}
    for name, kind in kinds.items():
        for field, words in (("calls", kind.calls), ("names", kind.names)):
            for number, word in enumerate(words):
                key = (field, normalise(word))
                if key in taken:
                    document.fault((*place, name, field, number), f"{word!r} already means {taken[key]!r}; choose one")
                taken[key] = name
        if not kind.by_customer:
            for field in ("order", "cart"):
                if getattr(kind, field) not in (None, "edit"):
                    document.fault(
                        (*place, name, field), "only what the customer does has this effect; take by_customer away"
                    )


def _rules(
    document: Document, entry: ModelEntry, kind: str, phases: Mapping[str, Phase], kinds: Mapping[str, KindEntry]
) -> tuple[Rule, ...]:
    if kind not in kinds:
        document.unknown(("rules", kind), "no kind", kind, kinds)
    rules = []
    for number, rule in enumerate(entry.rules[kind]):
        place = ("rules", kind, number)
        if number and not entry.rules[kind][number - 1].when:
            document.fault(place, "is never reached: the rule before it always holds; give that one a `when`")
        guards = [_guard(document, (*place, "when", at), word, phases) for at, word in enumerate(rule.when)]
        if rule.phase not in phases:
            document.unknown((*place, "phase"), "no phase", rule.phase, phases)
            continue
        label = f"{kind} when {' and '.join(rule.when)}" if rule.when else kind
        rules.append(Rule(label, tuple(guard for guard in guards if guard), phases[rule.phase].number, rule.ends))
    return tuple(rules)


def _guard(document: Document, place: tuple[str | int, ...], word: str, phases: Mapping[str, Phase]) -> Guard | None:
    if word.startswith(BEFORE):
        phase = phases.get(word.removeprefix(BEFORE))
        if phase is not None:
            return before(phase.number)
    elif word in GUARDS:
        return GUARDS[word]
    document.unknown(place, "no guard", word, [*GUARDS, *(BEFORE + phase for phase in phases)])
    return None
