"""How a file of text is written: its encoding and, of CSV, its separator. Pure.

A mark at the beginning decides; without one, text that is mostly UTF-8 is UTF-8, and any other is Windows-1252.
"""

import codecs
import csv
import re
from collections.abc import Iterable
from itertools import chain

SEPARATOR_NAMES = {"comma": ",", "semicolon": ";", "tab": "\t", "bar": "|"}
SEPARATORS = "".join(SEPARATOR_NAMES.values())
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NUL_SAMPLE_BYTES = 4096
_NO_UTF8 = re.compile("[\udc80-\udcff]")
_BEYOND_ASCII = re.compile("[^\x00-\x7f\udc80-\udcff]")
_NO_WINDOWS = re.compile("[\udc81\udc8d\udc8f\udc90\udc9d]")
"""Bytes that Windows-1252 has no character for."""
_ROUNDED = re.compile(r"\d+(?:[.,]\d+)?E\+\d+")
_DECLARED = re.compile(r'\s*"?sep=(.)"?[,;\t|\s]*$', re.IGNORECASE)


def marked_encoding(head: bytes) -> str:
    """Returns the encoding that the beginning of a text shows, by its mark or its zero bytes; "" if it shows none."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    sample = head[:_NUL_SAMPLE_BYTES]
    for encoding, zeros, others in (("utf-16-be", sample[::2], sample[1::2]), ("utf-16-le", sample[1::2], sample[::2])):
        # It begins with a letter, a quote or a brace.
        if zeros[:1] == b"\0" and 0 not in others and zeros.count(0) * 4 > len(sample):
            return encoding
    return ""


def encoding_of(chunks: Iterable[bytes]) -> str:
    """Returns the encoding of a text that comes in parts, as Python calls it. It holds one part at a time."""
    parts = iter(chunks)
    first = next(parts, b"")
    marked = marked_encoding(first)
    if marked:
        return marked
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    characters = broken = 0
    is_windows = True
    for part in chain((first,), parts):
        text = decoder.decode(part)
        if text.isascii():
            continue
        broken += len(_NO_UTF8.findall(text))
        characters += len(_BEYOND_ASCII.findall(text))
        is_windows = is_windows and _NO_WINDOWS.search(text) is None
    if broken <= characters:
        return "utf-8-sig"
    return "cp1252" if is_windows else "latin-1"


def has_broken_text(text: str) -> bool:
    """Whether a text that was decoded with `surrogateescape` held bytes that are no UTF-8."""
    return not text.isascii() and _NO_UTF8.search(text) is not None


def is_rounded(text: str) -> bool:
    """Whether a text is a long number as spreadsheets save one: `5.84E+12`. As an id it may be that of many."""
    return "E+" in text and _ROUNDED.fullmatch(text.strip()) is not None


def declared_separator(line: str) -> str:
    """Returns the separator that a first line `sep=;` declares, as Excel writes it; "" for any other line."""
    declared = _DECLARED.match(line)
    return declared.group(1) if declared else ""


def separator_of(lines: list[str]) -> str:
    """Returns the separator of a CSV's first lines: the one by which most rows have the columns that the first has."""
    return max(SEPARATORS, key=lambda separator: _fit(lines, separator))


def _fit(lines: list[str], separator: str) -> tuple[float, int]:
    try:
        rows = [row for row in csv.reader(lines, delimiter=separator) if row]
    except csv.Error:
        return 0.0, 0
    columns = len(rows[0]) if rows else 0
    if columns < 2:
        return 0.0, 0
    return sum(len(row) == columns for row in rows) / len(rows), columns
