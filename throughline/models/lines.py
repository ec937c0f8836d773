"""Lines of a TOML document's fields: the standard library reads values without saying on which line they stand.

https://toml.io/en/v1.0.0 by the grammar of https://github.com/tree-sitter-grammars/tree-sitter-toml.
"""

import tomllib

import tree_sitter_toml
from tree_sitter import Language, Node, Parser

Path = tuple[str | int, ...]
"""Keys and, into arrays, numbers from 0: `("phases", 1, "name")`."""

_LANGUAGE = Language(tree_sitter_toml.language())


def lines_of(text: str) -> dict[Path, int]:
    """Returns the line, from 1, of each table, key and array element of a document that `tomllib` has read."""
    return _Lines(_parsed(text)).by_path


def line_of_long_key(text: str, most: int) -> int | None:
    """Returns the line, from 1, of a key of more than `most` parts in any text; None when it has no such key."""
    waiting = [_parsed(text)]
    while waiting:
        node = waiting.pop()
        if node.type != "dotted_key":
            waiting += node.named_children
        elif len(_parts(node)) > most:
            return node.start_point.row + 1
    return None


class _Lines:
    def __init__(self, document: Node) -> None:
        self.by_path: dict[Path, int] = {}
        self._last: dict[Path, int] = {}  # of each array of tables, the number of its last table
        for node in _children(document):
            if node.type == "pair":
                self._pair((), node)
                continue
            key, *pairs = _children(node)
            table = self._key((), key)
            if node.type == "table_array_element":
                self._last[table] = self._last.get(table, -1) + 1
                table = (*table, self._last[table])
                self._note(table, node)
            for pair in pairs:
                self._pair(table, pair)

    def _pair(self, table: Path, pair: Node) -> None:
        key, value = _children(pair)
        self._value(self._key(table, key), value)

    def _key(self, path: Path, key: Node) -> Path:
        for part in _parts(key):
            if path in self._last:
                path = (*path, self._last[path])
            path = (*path, next(iter(tomllib.loads(f"{_text(part)} = 0"))))
            self._note(path, part)
        return path

    def _value(self, path: Path, value: Node) -> None:
        if value.type == "array":
            for number, element in enumerate(_children(value)):
                self._note((*path, number), element)
                self._value((*path, number), element)
        elif value.type == "inline_table":
            for pair in _children(value):
                self._pair(path, pair)

    def _note(self, path: Path, node: Node) -> None:
        self.by_path.setdefault(path, node.start_point.row + 1)


def _parsed(text: str) -> Node:
    return Parser(_LANGUAGE).parse(text.encode()).root_node


def _children(node: Node) -> list[Node]:
    return [child for child in node.named_children if child.type != "comment"]


def _parts(key: Node) -> list[Node]:
    """Returns the names of a key: of `a.b.c` three. Its node holds that of `a.b`, and the name `c`."""
    names = []
    while key.type == "dotted_key":
        key, last = _children(key)
        names.append(last)
    return [key, *reversed(names)]


def _text(node: Node) -> str:
    assert node.text is not None  # a tree that was parsed from bytes has them
    return node.text.decode()
