"""The fields of a vocabulary and of a model file, and where in the file one of them is wrong."""

import re
import tomllib
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, TypeAdapter, ValidationError

from throughline.models.lines import Path, line_of_long_key, lines_of

MAX_BYTES = 64 * 1024
"""Maximum number of characters of a model file."""
MAX_KEY_PARTS = 16
"""Maximum number of parts of a key: what reads TOML takes time squared for more."""

T = TypeVar("T")

_PLACE = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
"""How `tomllib` says where a text is no TOML."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Label = Annotated[str, StringConstraints(min_length=1, max_length=60, pattern=r"^\S(.*\S)?$")]
EventName = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"\S")]


class ModelError(ValueError):
    """A model cannot be used. The message has a line for each fault: FILE:LINE: field: what is wrong, and the fix."""


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class PhaseEntry(_Entry):
    """One `[[phases]]`."""

    name: Name
    label: Label
    window_days: int = Field(ge=1, le=36_500)
    emptied_window: str | None = None


class RuleEntry(_Entry):
    """One of a kind's rules."""

    when: list[str] = []
    phase: str
    ends: bool = False


class KindEntry(_Entry):
    """One touchpoint kind of a vocabulary."""

    calls: list[Literal["page", "screen", "identify", "group", "alias"]] = []
    names: list[EventName] = []
    order: Literal["place", "pay", "edit", "cancel", "refund"] | None = None
    cart: Literal["add", "remove", "replace"] | None = None
    like: str | None = None
    page: bool = False
    by_customer: bool = True
    friction: Literal["payment", "coupon", "form", "stock", "delivery", "support", "error"] | None = None


class ModelEntry(_Entry):
    """A model file."""

    name: Name
    label: Label
    phases: list[PhaseEntry] = Field(min_length=1, max_length=50)
    rules: dict[str, list[RuleEntry]]
    kinds: dict[Name, KindEntry] = {}


MODEL = TypeAdapter(ModelEntry)
VOCABULARY = TypeAdapter(dict[Name, KindEntry])


class Document:
    """A TOML text, and its faults. `file` is what messages call it."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self.faults: list[tuple[int, str]] = []

    def read(self, shape: TypeAdapter[T]) -> T:
        """Returns the document as a shape.

        Raises:
            ModelError: the text is too long, not TOML, or of another shape.
        """
        if len(self.text) > MAX_BYTES:
            raise ModelError(f"{self.file}: has {len(self.text):,} characters, at most {MAX_BYTES:,} are read")
        long_key_line = line_of_long_key(self.text, MAX_KEY_PARTS)
        if long_key_line is not None:
            raise ModelError(
                f"{self.file}:{long_key_line}: a key has more than {MAX_KEY_PARTS} parts; write a shorter one"
            )
        try:
            data = tomllib.loads(self.text)
        except tomllib.TOMLDecodeError as error:
            place = _PLACE.search(str(error))
            line = (place and place[1]) or self.text.count("\n") + 1
            what = str(error)[: place.start()] if place else str(error)
            raise ModelError(f"{self.file}:{line}: not TOML: {what}") from None
        except RecursionError:
            raise ModelError(f"{self.file}: arrays or tables are nested too deeply") from None
        try:
            return shape.validate_python(data)
        except ValidationError as error:
            for fault in error.errors(include_url=False):
                self._wrong(fault, data)
            raise self.error() from None

    def fault(self, path: Path, message: str) -> None:
        """Add a fault of a field."""
        line = next(
            (self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines),
            1,
        )
        self.faults.append((line, f"{self.file}:{line}: {field_of(path)}: {message}"))

    def unknown(self, path: Path, what: str, word: str, names: Iterable[str]) -> None:
        """Add the fault of a word that names nothing. `what`: such as "no phase"."""
        self.fault(path, f"{what} {word!r}; {_choice(word, list(names))}")

    def error(self) -> ModelError:
        """Returns all faults as one error, by line."""
        return ModelError("\n".join(message for _, message in sorted(self.faults, key=lambda fault: fault[0])))

    @cached_property
    def _lines(self) -> dict[Path, int]:
        return lines_of(self.text)

    def _wrong(self, fault: Any, data: Any) -> None:
        *above, last = path = tuple(key for key in fault["loc"] if key != "[key]")
        kind, context = fault["type"], fault.get("ctx", {})
        if kind == "missing":
            self.fault(path, "is missing; add it")
        elif kind == "extra_forbidden":
            self.unknown(path, "no field", str(last), _fields_at(above))
        elif kind == "literal_error":
            self.fault(path, f"{fault['input']!r} is not one of {context['expected']}")
        elif kind == "string_pattern_mismatch" and context["pattern"].startswith("^[a-z]"):
            self.fault(path, f"{fault['input']!r}: a name has a-z, 0-9 and _, begins with a letter, has at most 40")
        elif kind == "string_pattern_mismatch":
            self.fault(path, f"{fault['input']!r} is blank, or begins or ends with a space, or has several lines")
        else:
            instead_of = "" if isinstance(fault["input"], list | dict) else f", not {fault['input']!r}"
            self.fault(path, _plain(fault["msg"]) + instead_of)


def field_of(path: Path) -> str:
    """Returns a path as people write it: `phases[2].name`, counted from 1."""
    words = ""
    for key in path:
        if isinstance(key, int):
            words += f"[{key + 1}]"
        else:
            words += f".{key}" if words else key
    return words


def _fields_at(path: Sequence[str | int]) -> list[str]:
    entry: type[BaseModel] = ModelEntry
    if path[:1] == ["phases"]:
        entry = PhaseEntry
    elif path[:1] == ["rules"]:
        entry = RuleEntry
    elif path:
        entry = KindEntry
    return list(entry.model_fields)


def _plain(message: str) -> str:
    message = message.replace("Input should be", "has to be").replace("Field required", "is missing")
    for theirs, ours in {"a valid string": "a text", "a valid list": "a list", "a valid dictionary": "a table"}.items():
        message = message.replace(theirs, ours)
    return message[:1].lower() + message[1:]


def _choice(word: str, names: list[str]) -> str:
    close = get_close_matches(word, names, n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}there are: {', '.join(names)}"
