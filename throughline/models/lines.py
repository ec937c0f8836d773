"""Where the fields of a TOML document stand: the standard library reads values without saying on which line."""

import re
import tomllib
from bisect import bisect_right

Path = tuple[str | int, ...]
"""Keys and, into arrays, numbers from 0: `("phases", 1, "name")`."""

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_SCALAR = re.compile(r"[^,\]}\n#]+")


def lines_of(text: str) -> dict[Path, int]:
    """The line, from 1, of each table, key and array element of a document that `tomllib` has read."""
    return _Scanner(text.replace("\r\n", "\n")).document()


class _Scanner:
    """Walks a document that is known to be valid."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.last: dict[Path, int] = {}  # of each array of tables, the number of its last table
        self.ends = [found.start() for found in re.finditer("\n", text)]

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self.skip(_BLANK) < len(self.text):
            if self.took("[["):
                array = self.key(())
                self.last[array] = self.last.get(array, -1) + 1
                table = (*array, self.last[array])
                self.note(table)
                self.at += len("]]")
            elif self.took("["):
                table = self.key(())
                self.at += len("]")
            else:
                self.pair(table)
        return self.lines

    def pair(self, table: Path) -> None:
        path = self.key(table)
        self.at += len("=")
        self.skip(_SPACE)
        self.value(path)

    def key(self, path: Path) -> Path:
        while True:
            self.skip(_SPACE)
            raw = self.take(_STRING if self.text[self.at] in "\"'" else _BARE_KEY)
            name = next(iter(tomllib.loads(f"{raw} = 0")))
            if path in self.last:
                path = (*path, self.last[path])
            path = (*path, name)
            self.note(path)
            self.skip(_SPACE)
            if not self.took("."):
                return path

    def value(self, path: Path) -> None:
        if self.took("["):
            number = 0
            while self.skip(_BLANK) and not self.took("]"):
                if not self.took(","):
                    self.note((*path, number))
                    self.value((*path, number))
                    number += 1
        elif self.took("{"):
            while self.skip(_BLANK) and not self.took("}"):
                if not self.took(","):
                    self.pair(path)
        else:
            self.take(_STRING if self.text[self.at] in "\"'" else _SCALAR)

    def note(self, path: Path) -> None:
        self.lines.setdefault(path, bisect_right(self.ends, self.at - 1) + 1)

    def skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self.text, self.at)
        assert found is not None  # it matches nothing too
        self.at = found.end()
        return self.at

    def take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        assert found is not None, f"not TOML at {self.at}"
        self.at = found.end()
        return found[0]

    def took(self, word: str) -> bool:
        if not self.text.startswith(word, self.at):
            return False
        self.at += len(word)
        return True
